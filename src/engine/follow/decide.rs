//! Whether a pointer is taken: what it says, against what this host has seen and run. Pure.

use crate::bundle::StoreName;
use crate::diagnostic::{Code, Finding, Place};

use super::Pointer;
use super::state::{Outcome, State};

pub(super) static M830: Code = Code {
    id: "M830",
    title: "a channel's pointer goes back",
    explain:
        "Each pointer of a channel has a serial, and a host remembers the highest that it has seen. One with a
lower serial is an old pointer that somebody serves again, or a mirror that is behind: its signature was
good once, so it proves nothing. What runs goes on. To go back on purpose, push a new pointer with
`monprov push PROFILE CACHE --channel --rollback --reason TEXT`.",
};

pub(super) static M831: Code = Code {
    id: "M831",
    title: "two pointers of a channel have the same serial",
    explain:
        "This host has seen another bundle under the serial that the pointer has. Two places that push to one
channel do that, or a cache that was put back from a backup: push again, which takes the next serial.",
};

pub(super) static M832: Code = Code {
    id: "M832",
    title: "a pointer goes back to a bundle that ran before",
    explain: "The pointer names a bundle that this host has run and left, and does not say that it is a rollback. Who
means it says so: `monprov push PROFILE CACHE --channel --rollback --reason TEXT`.",
};

/// What is to be done about a pointer that may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// It was dealt with.
    Done(Outcome),
    Take {
        /// The bundle ran before, and is to run again.
        back: bool,
    },
}

/// What this host knows when a pointer comes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    /// The pointer that it has seen last.
    pub(super) seen: Option<&'a State>,
    pub(super) current: Option<&'a StoreName>,
    /// Whether the new pointer's bundle ran here before.
    pub(super) ran: bool,
}

pub(super) fn decide(pointer: &Pointer, known: Known<'_>) -> Result<Decision, Box<Finding>> {
    let refuse = |code, message: String| Err(Box::new(Finding::error(code, Place::Profile, message)));
    let (serial, bundle) = (pointer.serial, &pointer.bundle);
    let back = match known.seen {
        Some(seen) if serial < seen.serial => {
            let message =
                format!("the pointer has the serial {serial}, and {} was seen already", seen.serial);
            return refuse(&M830, message);
        }
        Some(seen) if serial == seen.serial && *bundle != seen.bundle => {
            let message = format!("serial {serial} is {bundle} now, and was {}", seen.bundle);
            return refuse(&M831, message);
        }
        Some(seen) if serial == seen.serial => match seen.outcome {
            // It was found good when it was seen first; it may have run since.
            Outcome::Pending => known.ran && known.current != Some(bundle),
            outcome => return Ok(Decision::Done(outcome)),
        },
        _ => {
            let back = known.ran && known.current != Some(bundle);
            if back && !pointer.rollback {
                let message = format!("{bundle} ran before, and the pointer is no rollback");
                return refuse(&M832, message);
            }
            back
        }
    };
    Ok(Decision::Take { back })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(n: u8) -> StoreName {
        format!("{}-prod", char::from(b'0' + n).to_string().repeat(32)).parse().unwrap()
    }

    fn pointer(serial: u64, of: u8) -> Pointer {
        Pointer {
            schema: 1,
            profile: "prod".into(),
            serial,
            bundle: bundle(of),
            time: "2026-01-01T00:00:00Z".parse().unwrap(),
            rollback: false,
            reason: None,
        }
    }

    fn seen(serial: u64, of: u8, outcome: Outcome) -> State {
        State::new(&pointer(serial, of)).became(outcome)
    }

    fn code(pointer: &Pointer, seen: Option<&State>, ran: bool) -> Result<Decision, &'static str> {
        let known = Known { seen, current: None, ran };
        decide(pointer, known).map_err(|finding| finding.code.id)
    }

    #[test]
    fn a_newer_pointer_is_taken_and_an_old_one_is_not() {
        let take = Ok(Decision::Take { back: false });
        assert_eq!(code(&pointer(1, 1), None, false), take);
        let seen = seen(7, 1, Outcome::Activated);
        assert_eq!(code(&pointer(8, 2), Some(&seen), false), take);
        assert_eq!(code(&pointer(7, 1), Some(&seen), true), Ok(Decision::Done(Outcome::Activated)));
        assert_eq!(code(&pointer(7, 2), Some(&seen), false), Err("M831"));
        for old in 0..7 {
            let mut old = pointer(old, 2);
            assert_eq!(code(&old, Some(&seen), false), Err("M830"));
            // Whatever else it says.
            old.rollback = true;
            assert_eq!(code(&old, Some(&seen), true), Err("M830"));
        }
    }

    #[test]
    fn what_was_cut_short_is_taken_up_again() {
        let seen = seen(7, 1, Outcome::Pending);
        assert_eq!(code(&pointer(7, 1), Some(&seen), false), Ok(Decision::Take { back: false }));
    }

    #[test]
    fn a_failed_bundle_waits_for_the_next_pointer() {
        let seen = seen(7, 1, Outcome::Rejected);
        assert_eq!(code(&pointer(7, 1), Some(&seen), false), Ok(Decision::Done(Outcome::Rejected)));
        assert_eq!(code(&pointer(8, 2), Some(&seen), false), Ok(Decision::Take { back: false }));
    }

    #[test]
    fn going_back_has_to_be_meant() {
        let seen = seen(7, 2, Outcome::Activated);
        let mut back = pointer(8, 1);
        assert_eq!(code(&back, Some(&seen), true), Err("M832"));
        back.rollback = true;
        assert_eq!(code(&back, Some(&seen), true), Ok(Decision::Take { back: true }));
        // On a host that never ran it, it is a bundle like any other.
        assert_eq!(code(&back, Some(&seen), false), Ok(Decision::Take { back: false }));
        // What runs is not gone back to.
        let (runs, again) = (bundle(1), pointer(8, 1));
        let known = Known { seen: Some(&seen), current: Some(&runs), ran: true };
        assert_eq!(decide(&again, known).unwrap(), Decision::Take { back: false });
    }
}
