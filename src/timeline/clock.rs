//! Two clocks that must not be mixed: the container's, which files hold, and the player's, which people see.
//!
//! A transport stream may begin at 1.4 s or at 11 h. FFmpeg, players and ELAN show its first picture at zero; what is
//! laid beside the video (subtitles, tiers, curves, the review page) has to count as they do.

use super::Timeline;

/// Seconds as the container states them: pts times time base.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct ContainerTime(pub f64);

/// Seconds as players count them: container time less the container's start.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct PlayerTime(pub f64);

impl PlayerTime {
    /// What binary fractions of exact times are off by is far below this.
    const ROUNDING_S: f64 = 1e-9;

    /// The nearest whole millisecond; 0 for what lies before zero.
    pub fn round_millis(self) -> u64 {
        // The cast takes what is below zero to zero.
        (self.0 * 1000.0).round() as u64
    }

    /// The first whole millisecond not before the time; 0 for what lies before zero.
    pub fn ceil_millis(self) -> u64 {
        ((self.0 - Self::ROUNDING_S) * 1000.0).ceil() as u64
    }

    /// The last whole hundredth of a second not after the time; 0 for what lies before zero.
    pub fn floor_hundredths(self) -> u64 {
        ((self.0 + 10.0 * Self::ROUNDING_S) * 100.0).floor() as u64
    }
}

impl Timeline {
    /// Where the container's clock stands when players begin to count.
    pub fn container_start(&self) -> ContainerTime {
        ContainerTime(self.media.start_s)
    }

    /// What a player shows at a moment of the container.
    pub fn player_time(&self, time: ContainerTime) -> PlayerTime {
        PlayerTime(time.0 - self.container_start().0)
    }

    /// Start and end of frame `frame` as a player shows them; the last frame ends with the video.
    pub fn frame_in_player_time(&self, frame: usize) -> [PlayerTime; 2] {
        let times = &self.frames;
        [times.time_s[frame], times.end_s(frame, self.end_s())].map(|s| self.player_time(ContainerTime(s)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn players_count_from_the_containers_start() {
        let mut timeline = sample::two_signers();
        assert_eq!(timeline.player_time(ContainerTime(0.2)), PlayerTime(0.2), "a container that starts at zero");
        timeline.media.start_s = 39_600.2;
        assert_eq!(timeline.player_time(ContainerTime(39_600.7)).round_millis(), 500);
        assert_eq!(timeline.player_time(ContainerTime(39_600.0)).round_millis(), 0, "nothing is before zero");
        timeline.media.start_s = 0.2;
        assert_eq!(timeline.frame_in_player_time(0).map(PlayerTime::round_millis), [0, 40]);
        assert_eq!(timeline.frame_in_player_time(5).map(PlayerTime::round_millis), [200, 240]);
    }

    #[test]
    fn roundings_do_what_their_names_say() {
        let late = PlayerTime(1001.0 / 30_000.0);
        assert_eq!((late.round_millis(), late.ceil_millis(), late.floor_hundredths()), (33, 34, 3));
        // A hundred frames of 40 ms, as binary fractions have them.
        for frame in 0..100u32 {
            let time = PlayerTime(f64::from(frame) * 0.04);
            let millis = u64::from(frame) * 40;
            assert_eq!(
                (time.round_millis(), time.ceil_millis(), time.floor_hundredths()),
                (millis, millis, millis / 10)
            );
        }
    }
}
