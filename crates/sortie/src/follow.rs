//! Following a deployment until it is over: one line a target, with its phases.

/// How long to follow.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Following {
    /// Return as soon as the order is accepted
    #[arg(long)]
    pub detach: bool,
    /// How long to wait for the end (30m by default)
    #[arg(long, value_name = "DURATION")]
    pub wait: Option<String>,
}
