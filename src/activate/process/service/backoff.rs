//! The pause before the next start of what ended by itself.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
/// After a start that went well for so long, the pause is the first again.
const GOES_WELL: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct BackOff(Duration);

impl BackOff {
    pub(super) fn new() -> Self {
        BackOff(FIRST)
    }

    /// The pause after a start that went well for that long. It doubles from failure to failure.
    pub(super) fn after(&mut self, well: Duration) -> Duration {
        if well >= GOES_WELL {
            self.0 = FIRST;
        }
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_longest_and_starts_anew_after_a_good_while() {
        let mut backoff = BackOff::new();
        let mut after = |well: u64| backoff.after(Duration::from_secs(well)).as_millis();
        assert_eq!([(); 8].map(|()| after(0)), [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
        assert_eq!([after(10), after(9), after(0)], [500, 1000, 2000]);
    }
}
