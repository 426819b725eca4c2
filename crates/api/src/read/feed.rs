//! What channels offer.

use super::BuildName;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use trust::{AppName, AudienceName, Digest, Version, authority::Dossier};
use utoipa::ToSchema;

/// The versions a channel may have (R6), newest first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Feed {
    /// The channel.
    #[schema(value_type = String)]
    pub channel: AudienceName,
    /// The application.
    #[schema(value_type = String)]
    pub app: AppName,
    /// The versions.
    pub versions: Vec<FeedVersion>,
}

/// One version of a feed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FeedVersion {
    /// The number.
    #[schema(value_type = String)]
    pub version: Version,
    /// The manifest's digest, to be had from the depot under the feed's path.
    #[schema(value_type = String)]
    pub manifest: Digest,
    /// Since when.
    #[schema(value_type = String)]
    pub released: Timestamp,
}

/// A version that a channel gives, with everything that proves it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Offer {
    /// The build.
    #[serde(flatten)]
    pub name: BuildName,
    /// Its manifest, whose digest is the build's.
    pub manifest: crate::write::Attachment,
    /// The signed statements behind it, for whoever is logged in.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub dossier: Option<Dossier>,
}
