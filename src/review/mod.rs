//! Review by people: a page to look and correct, and the way of their corrections back.

mod apply;
mod committee;
mod crops;
mod document;
mod elan;
mod index;
mod lanes;
mod page;
mod plain;
mod proxy;
mod queue;
mod read;
mod settle;

pub use apply::{Applied, ApplyError, Conflict, Tally, apply, apply_corrections, decided, lanes_of, machine_of};
pub use committee::{Committee, CommitteeAnswer, CommitteeAnswers, CommitteeError};
pub use crops::{Crops, CropsError, decode_options};
pub use document::correct_document;
pub use elan::{ElanChanges, ElanEdits, OtherDocument};
pub use index::{Index, IndexEntry};
pub use lanes::{Lanes, Met, Touched, machine_event_id, machine_id, review_of};
pub use page::{HumanTier, Page};
pub use plain::{relative_url, video_of, write_plain_page};
pub use proxy::{ProxyError, proxy};
pub use queue::{QueueItem, Queued, queue, write_queue};
pub use read::{
    Correction, CorrectionError, FIRST_SCHEMA, FirstCorrection, Numbered, parse_corrections, read_corrections,
};
