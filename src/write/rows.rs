//! A timeline frame by frame instead of track by track, for the formats that grow downwards in time.

use crate::timeline::{FrameRecord, Status, Timeline};

/// One frame and the faces in it.
pub(super) struct FrameRow<'a> {
    pub frame: usize,
    pub pts: i64,
    pub time_s: f64,
    /// The frame's own status, for frames without a track.
    pub status: Status,
    /// Track id and record of every track that covers the frame, by id.
    pub faces: Vec<(u32, &'a FrameRecord)>,
}

/// Every frame of the timeline, in order.
pub(super) fn rows(timeline: &Timeline) -> impl Iterator<Item = FrameRow<'_>> {
    let mut tracks: Vec<_> = timeline.tracks.iter().collect();
    tracks.sort_by_key(|track| track.first_frame);
    let mut upcoming = tracks.into_iter().peekable();
    let mut current = Vec::new();
    let times = &timeline.frames;
    let stamps = times.pts.iter().zip(&times.time_s).zip(&times.status).enumerate();
    stamps.map(move |(frame, ((&pts, &time_s), &status))| {
        current.retain(|track: &&crate::timeline::Track| track.last_frame >= frame);
        while let Some(track) = upcoming.next_if(|track| track.first_frame <= frame) {
            current.push(track);
        }
        current.sort_by_key(|track| track.id);
        let faces = current.iter().map(|track| (track.id, &track.frames[frame - track.first_frame])).collect();
        FrameRow { frame, pts, time_s, status, faces }
    })
}
