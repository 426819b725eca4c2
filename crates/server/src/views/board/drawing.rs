//! The board's small drawings: a sign for each state, which differs in shape and not only in colour, and how much of a
//! whole is reached. Sizes are attributes, since the page allows no inline style.

use maud::{Markup, html};

/// More targets than this are drawn as one bar.
const PIPS: usize = 16;

/// What a line of the board is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// A disc: it runs, and may.
    Runs,
    /// A square: stopped, or silent.
    Stopped,
    /// An arrow to the right: may be deployed.
    May,
    /// An arrow into a tray: may be downloaded.
    Offered,
    /// A clock: people are waited for.
    Wait,
    /// Half a ring: machines are at it.
    Busy,
    /// A barred ring: kept out.
    Held,
    /// A triangle: without permission, or not as it should be.
    Bad,
}

/// Draws a sign. The words beside it say the same, so screen readers skip it.
pub(super) fn sign(sign: Sign) -> Markup {
    html! {
        svg.sign viewBox="0 0 12 12" width="12" height="12" aria-hidden="true" focusable="false" {
            @match sign {
                Sign::Runs => circle cx="6" cy="6" r="3.6" fill="currentColor" {},
                Sign::Stopped => rect x="2.9" y="2.9" width="6.2" height="6.2" rx="1" class="line" {},
                Sign::May => path class="line" d="M1.8 6h8M6.6 2.8 9.9 6 6.6 9.2" {},
                Sign::Offered => path class="line" d="M6 1.5v5.3M3.6 4.6 6 7l2.4-2.4M1.8 8v2.4h8.4V8" {},
                Sign::Wait => { circle class="line" cx="6" cy="6" r="4.4" {} path class="line" d="M6 3.6V6l1.7 1.2" {} },
                Sign::Busy => { circle class="line faint" cx="6" cy="6" r="4.2" {} path class="line turn" d="M6 1.8a4.2 4.2 0 0 1 4.2 4.2" {} },
                Sign::Held => { circle class="line" cx="6" cy="6" r="4.4" {} path class="line" d="M2.9 9.1 9.1 2.9" {} },
                Sign::Bad => { path class="line" d="M6 1.6 11 10.4H1Z" {} path class="line" d="M6 4.8v2.4M6 8.8v.1" {} },
            }
        }
    }
}

/// How many of the targets run it: a pip for each, or a bar where they are many. Nothing where there is one target.
pub(super) fn pips(on: usize, of: usize) -> Markup {
    let on = on.min(of);
    html! {
        @if of > PIPS {
            svg.pips viewBox="0 0 64 6" width="64" height="6" aria-hidden="true" {
                rect class="off" width="64" height="6" rx="2" {}
                rect class="on" width=(64 * on / of) height="6" rx="2" {}
            }
        } @else if of > 1 {
            svg.pips viewBox={ "0 0 " (of * 6) " 6" } width=(of * 6) height="6" aria-hidden="true" {
                @for place in 0..of {
                    rect class=(if place < on { "on" } else { "off" }) x=(place * 6) width="4.4" height="6" rx="1.2" {}
                }
            }
        }
    }
}

/// Which share of end users see it, as a bar.
pub(super) fn share(percent: u8) -> Markup {
    let width = match u32::from(percent.min(100)) * 22 / 100 {
        0 if percent > 0 => 2,
        width => width,
    };
    html! {
        svg.share viewBox="0 0 24 10" width="24" height="10" aria-hidden="true" {
            rect class="frame" x=".5" y=".5" width="23" height="9" rx="4.5" {}
            rect class="fill" x="1" y="1" width=(width) height="8" rx=(width.min(8) / 2) {}
        }
    }
}
