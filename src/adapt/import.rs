//! Annotations to training pictures: the words as classes, the signer's face in each span, some moments of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use glob::Pattern;

use super::annotation::{Annotated, AnnotatedTier, AnnotationDocument};
use super::left_out::{LeftOut, Reason};
use super::media::{FoundMedia, MediaFinder};
use super::moment::{self, LabelledStretch, Vote};
use super::signer::{SignerChoice, track_of};
use super::source::{self, SourceKind};
use super::stills::{self, Stills};
use super::timelines::Timelines;
use crate::agree::{Grid, Vocabulary};
use crate::annotator::Annotator;
use crate::files::{WriteError, is_touched};
use crate::picture::CropRule;
use crate::pipeline::{AnnotateError, decode_options};
use crate::timeline::{ContainerTime, Status, Timeline, Track, signer};
use crate::train::crop::{self, KnownFace, cut_known};
use crate::train::manifest::{Row, Split};

pub use super::moment::Rate;

/// Side of the pictures, pixels: enough for every network here, and a face in most videos has no more.
const SIDE: usize = 112;
/// Annotations may end a little after the last frame, as tools count ends differently.
const PAST_END_S: f64 = 0.25;

/// What is taken of annotations, and how.
#[derive(Debug, Clone)]
pub struct ImportSettings {
    /// The tiers that are meant, by a pattern such as `expression@*`. Corrected annotations have no others.
    pub tiers: Pattern,
    /// What words mean.
    pub vocabulary: Vocabulary,
    /// A folder of videos, where they are not where the files say.
    pub media: Option<PathBuf>,
    /// Which moments are taken.
    pub rate: Rate,
    /// Whose face is meant.
    pub signer: Option<SignerChoice>,
    /// How pictures are cut out: as the model wants them.
    pub rule: CropRule,
}

/// What came of annotations.
#[derive(Debug, Clone, Default)]
pub struct Import {
    /// A row a picture, in order of videos and frames.
    pub rows: Vec<Row>,
    /// What gave none, and why.
    pub left_out: Vec<LeftOut>,
    /// Seconds annotated with a class, of which the pictures are; two annotators of one span count once.
    pub annotated_s: f64,
    /// Pictures about which annotators disagree: they have soft labels.
    pub disputed: usize,
    /// Pictures that only some of the annotators of their signer labelled.
    pub partly: usize,
}

/// Told how the import gets on.
pub trait ImportProgress {
    /// Work on a video begins.
    fn video(&mut self, path: &Path, number: usize, of: usize);
    /// The video is looked at, as nothing is known of it yet; so many frames are expected.
    fn opened(&mut self, frames: Option<u64>);
    /// A frame was looked at.
    fn frame(&mut self);
}

/// Why there is no import.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum AnnotationImportError {
    #[error("{}: no such file or folder", path.display())]
    NoSource { path: PathBuf },
    #[error("{path}: no annotation file of the kinds: {kinds}")]
    Nothing { path: String, kinds: String },
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("interrupted; the same command goes on with the next video")]
    Interrupted,
    #[error(transparent)]
    Annotate(#[from] AnnotateError),
    #[error(transparent)]
    Crop(#[from] crop::CropError),
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// A video with everything that was written about it.
struct Video {
    path: PathBuf,
    /// The pictures, where only pictures are there.
    stills: Option<Stills>,
    documents: Vec<AnnotationDocument>,
}

/// Takes the annotations of `kinds` in `sources` and cuts pictures of them into `folder`.
///
/// # Errors
/// If a source is missing, there is nothing of these kinds, the program itself fails or a picture cannot be written. What is
/// wrong with single files, tiers and annotations is no error: it stands in [`Import::left_out`].
pub fn import(
    sources: &[PathBuf],
    kinds: &[SourceKind],
    settings: &ImportSettings,
    annotator: &Annotator,
    folder: &Path,
    progress: &mut dyn ImportProgress,
) -> Result<Import, AnnotationImportError> {
    use crate::choice::Choice as _;
    if let Some(path) = sources.iter().find(|path| !path.exists()) {
        return Err(AnnotationImportError::NoSource { path: path.clone() });
    }
    let files = source::find(sources, kinds);
    if files.is_empty() {
        let path = sources.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        let kinds = kinds.iter().map(|kind| kind.word()).collect::<Vec<_>>().join(", ");
        return Err(AnnotationImportError::Nothing { path, kinds });
    }
    let mut import = Import::default();
    let videos = videos(&files, settings, &mut import.left_out);
    std::fs::create_dir_all(folder).map_err(|e| WriteError::new(folder, e))?;
    let timelines = Timelines { annotator, kept: folder.join("timelines") };
    let count = videos.len();
    for (index, video) in videos.into_iter().enumerate() {
        progress.video(&video.path, index + 1, count);
        if let Some(stills) = &video.stills {
            take_stills(&video, stills, settings, folder, &mut import);
            continue;
        }
        let paths: Vec<&Path> = video.documents.iter().map(|document| document.path.as_path()).collect();
        let known = video.documents.iter().find_map(|document| document.timeline.as_deref().cloned());
        let timeline = match known.map_or_else(|| timelines.of(&video.path, &paths, progress), Ok) {
            Ok(timeline) => timeline,
            Err(AnnotationImportError::Annotate(AnnotateError::Decode(error))) => {
                let reason = Reason::Video(error.to_string());
                import.left_out.extend(video.documents.iter().map(|d| whole(&d.path, reason.clone())));
                continue;
            }
            Err(error) => return Err(error),
        };
        let mut of_video = OfVideo { video: &video, timeline: &timeline, settings, folder, import: &mut import };
        let pictures = of_video.pictures();
        let options = decode_options(&annotator.settings, &annotator.execution);
        let faces: Vec<(KnownFace, PathBuf)> = pictures.iter().map(|(face, row)| (*face, row.path.clone())).collect();
        let missing = cut_known(&video.path, &faces, &settings.rule, SIDE, &options)?;
        // A video that is shorter than its timeline is another one.
        let are_there = pictures.into_iter().filter(|(face, _)| missing.is_none_or(|missing| face.frame < missing));
        import.rows.extend(are_there.map(|(_, row)| row));
        if let Some(frame) = missing {
            let reason = Reason::Video(format!("it has no frame {frame}, unlike the annotated one"));
            import.left_out.extend(video.documents.iter().map(|d| whole(&d.path, reason.clone())));
        }
    }
    crop::note_rule(folder, &settings.rule)?;
    Ok(import)
}

/// Labels the pictures of a video that lie in its annotations.
fn take_stills(video: &Video, stills: &Stills, settings: &ImportSettings, folder: &Path, import: &mut Import) {
    let tiers = video.documents.iter().flat_map(|document| &document.tiers);
    let end_s = tiers.flat_map(|tier| &tier.annotations).map(|annotated| annotated.end_s).fold(0.0, f64::max);
    let name = video.path.file_name().unwrap_or_default().to_string_lossy();
    let timeline = stills::timeline(&name, stills, end_s);
    let pictures = OfVideo { video, timeline: &timeline, settings, folder, import }.pictures();
    let rows =
        pictures.into_iter().filter_map(|(face, row)| Some(Row { path: stills.get(&face.frame)?.clone(), ..row }));
    import.rows.extend(rows);
}

fn whole(file: &Path, reason: Reason) -> LeftOut {
    LeftOut { file: file.into(), tier: String::new(), span_s: None, word: String::new(), reason }
}

/// The documents in `files` that have tiers which are meant, by their videos.
fn videos(files: &[(PathBuf, SourceKind)], settings: &ImportSettings, left_out: &mut Vec<LeftOut>) -> Vec<Video> {
    let media = MediaFinder::new(settings.media.as_deref());
    let mut videos: BTreeMap<PathBuf, Video> = BTreeMap::new();
    for (path, kind) in files {
        let documents = match source::read(path, *kind) {
            Ok(documents) => documents,
            Err(reason) => {
                left_out.push(whole(path, reason));
                continue;
            }
        };
        for document in documents {
            let found = meant(document, *kind, settings, left_out)
                .and_then(|document| Ok((media.find(&document)?, document)))
                .and_then(|(found, document)| match found {
                    FoundMedia::Video(path) => Ok((source::in_time_of(document, &path)?, path, None)),
                    FoundMedia::Stills(name, stills) => {
                        Ok((document, stills::folder(&stills).join(name), Some(stills)))
                    }
                });
            match found {
                Ok((mut document, path, stills)) => {
                    document.tiers.retain(|tier| is_meant(tier, *kind, settings));
                    let key = path.canonicalize().unwrap_or_else(|_| path.clone());
                    let video = videos.entry(key).or_insert(Video { path, stills, documents: Vec::new() });
                    video.documents.push(document);
                }
                Err(reason) => left_out.push(whole(path, reason)),
            }
        }
    }
    videos.into_values().collect()
}

fn is_meant(tier: &AnnotatedTier, kind: SourceKind, settings: &ImportSettings) -> bool {
    kind == SourceKind::Labels || settings.tiers.matches(&tier.name)
}

/// The document with the tiers that are meant and that a person has had a hand in.
fn meant(
    mut document: AnnotationDocument,
    kind: SourceKind,
    settings: &ImportSettings,
    left_out: &mut Vec<LeftOut>,
) -> Result<AnnotationDocument, Reason> {
    /// Tiers that a message names.
    const NAMED: usize = 20;
    let all: Vec<String> = document.tiers.iter().map(|tier| tier.name.clone()).collect();
    document.tiers.retain(|tier| is_meant(tier, kind, settings));
    if document.tiers.is_empty() && kind != SourceKind::Labels {
        let found = if all.is_empty() { "none".to_owned() } else { crate::agree::named(&all, NAMED) };
        return Err(Reason::NoTier { wanted: settings.tiers.to_string(), found });
    }
    if kind != SourceKind::Labels && !is_touched(&document.path) {
        let (ours, theirs) = document.tiers.into_iter().partition(|tier| tier.name.starts_with("expression@"));
        document.tiers = theirs;
        let of = |tier: AnnotatedTier| LeftOut { tier: tier.name, ..whole(&document.path, Reason::Ours) };
        left_out.extend(Vec::into_iter(ours).map(of));
        if document.tiers.is_empty() {
            return Err(Reason::Ours);
        }
    }
    Ok(document)
}

/// An annotation with what is known of it.
struct KnownAnnotation<'a> {
    document: &'a AnnotationDocument,
    tier: &'a AnnotatedTier,
    annotated: &'a Annotated,
    vote: Vote,
}

struct OfVideo<'a> {
    video: &'a Video,
    timeline: &'a Timeline,
    settings: &'a ImportSettings,
    folder: &'a Path,
    import: &'a mut Import,
}

impl OfVideo<'_> {
    /// Faces to be cut out and their rows, in order of their frames.
    fn pictures(&mut self) -> Vec<(KnownFace, Row)> {
        let video = self.video;
        let grid = Grid::of(self.timeline);
        let mut by_track: BTreeMap<u32, Vec<KnownAnnotation>> = BTreeMap::new();
        let tiers = video.documents.iter().flat_map(|document| document.tiers.iter().map(move |tier| (document, tier)));
        for (number, (document, tier)) in tiers.enumerate() {
            for annotated in &tier.annotations {
                match self.vote(number, tier, annotated, &grid) {
                    Ok((track, vote)) => {
                        by_track.entry(track).or_default().push(KnownAnnotation { document, tier, annotated, vote });
                    }
                    Err(reason) => self.leave_out(document, tier, annotated, reason),
                }
            }
        }
        let mut pictures = Vec::new();
        for (track, known) in by_track {
            let Some(track) = self.timeline.tracks.iter().find(|own| own.id == track) else { continue };
            pictures.extend(self.of_track(track, &known, &grid));
        }
        pictures.sort_by_key(|(face, _)| face.frame);
        pictures
    }

    fn leave_out(
        &mut self,
        document: &AnnotationDocument,
        tier: &AnnotatedTier,
        annotated: &Annotated,
        reason: Reason,
    ) {
        self.import.left_out.push(LeftOut {
            file: document.path.clone(),
            tier: tier.name.clone(),
            span_s: Some([annotated.start_s, annotated.end_s]),
            word: annotated.word.clone(),
            reason,
        });
    }

    /// What an annotation says, and of which track.
    fn vote(
        &self,
        tier_number: usize,
        tier: &AnnotatedTier,
        annotated: &Annotated,
        grid: &Grid,
    ) -> Result<(u32, Vote), Reason> {
        let Annotated { start_s, end_s, word } = annotated;
        let label = self.settings.vocabulary.class_of(word).map_err(|_| Reason::Word)?.ok_or(Reason::Mapped)?;
        if end_s <= start_s {
            return Err(Reason::NoLength);
        }
        let length_s = self.timeline.player_time(ContainerTime(self.timeline.end_s())).0;
        if *end_s > length_s + PAST_END_S {
            return Err(Reason::Outside { length_s });
        }
        let frames: Vec<usize> = (grid.frame_at(*start_s)..grid.frame_at(*end_s)).collect();
        let track = track_of(tier, self.timeline, &frames, self.settings.signer.as_ref())?;
        Ok((track, Vote { tier: tier_number, start_s: *start_s, end_s: *end_s, label }))
    }

    fn of_track(&mut self, track: &Track, known: &[KnownAnnotation], grid: &Grid) -> Vec<(KnownFace, Row)> {
        let signers: BTreeSet<&str> = known.iter().filter_map(|known| known.tier.signer()).collect();
        if signers.len() > 1 && self.settings.signer.is_none() {
            let signers = signers.into_iter().collect::<Vec<_>>().join(", ");
            for known in known {
                self.leave_out(known.document, known.tier, known.annotated, Reason::OneFace(signers.clone()));
            }
            return Vec::new();
        }
        let votes: Vec<Vote> = known.iter().map(|known| known.vote).collect();
        let annotators = votes.iter().map(|vote| vote.tier).collect::<BTreeSet<_>>().len();
        let subject = self.subject(track, known);
        let mut taken: BTreeMap<usize, (KnownFace, Row)> = BTreeMap::new();
        // What is wrong with annotations that gave no picture; several stretches of one may say different things.
        let mut reasons: Vec<Option<Reason>> = vec![None; known.len()];
        let mut is_taken = vec![false; known.len()];
        for stretch in moment::stretches(&votes) {
            self.import.annotated_s += stretch.end_s - stretch.start_s;
            let found = match stretch.is_overlapping {
                true => Err(Reason::Overlapping),
                false => self.frames(track, &stretch, grid),
            };
            match found {
                Ok(frames) => {
                    stretch.votes.iter().for_each(|vote| is_taken[*vote] = true);
                    for frame in frames {
                        let Some(picture) = self.picture(track, frame, &stretch, &votes, subject.as_deref()) else {
                            continue;
                        };
                        let said: BTreeSet<usize> = stretch.votes.iter().map(|vote| votes[*vote].tier).collect();
                        if taken.insert(frame, picture).is_none() {
                            self.import.partly += usize::from(said.len() < annotators);
                        }
                    }
                }
                Err(reason) => stretch.votes.iter().for_each(|vote| {
                    // That it is too short says less than anything else.
                    let known = &mut reasons[*vote];
                    if known.is_none() || *known == Some(Reason::Short) {
                        *known = Some(reason.clone());
                    }
                }),
            }
        }
        for ((known, reason), is_taken) in known.iter().zip(reasons).zip(is_taken) {
            if let Some(reason) = reason.filter(|reason| !is_taken || *reason == Reason::Overlapping) {
                self.leave_out(known.document, known.tier, known.annotated, reason);
            }
        }
        taken.into_values().collect()
    }

    /// Who is shown, as far as anybody knows: a person's name, else a signer of this video; nobody where there are only pictures.
    fn subject(&self, track: &Track, known: &[KnownAnnotation]) -> Option<String> {
        let person = known.iter().find_map(|known| known.tier.person()).map(str::to_owned);
        let signer = || format!("{}@{}", self.sequence(), signer(track.id));
        person.or_else(|| self.video.stills.is_none().then(signer))
    }

    /// The video by its content, as the pictures of corrections name it.
    fn sequence(&self) -> String {
        self.timeline.media.sha256.clone().unwrap_or_else(|| self.timeline.media.path.clone())
    }

    /// The frames of a stretch that become pictures: near each wanted moment the one whose face is read.
    fn frames(&self, track: &Track, stretch: &LabelledStretch, grid: &Grid) -> Result<Vec<usize>, Reason> {
        let rate = &self.settings.rate;
        let (moments, reach_s) = moment::moments(stretch.start_s, stretch.end_s, rate);
        let inner = grid.frame_at(stretch.start_s + rate.edge_s)..grid.frame_at(stretch.end_s - rate.edge_s);
        if moments.is_empty() || inner.is_empty() {
            return Err(Reason::Short);
        }
        let is_read = |frame: &usize| {
            let record = frame.checked_sub(track.first_frame).and_then(|index| track.frames.get(index));
            record.is_some_and(|record| record.status == Status::Ok && record.face.is_some())
        };
        let mut frames = BTreeSet::new();
        for moment_s in moments {
            let near =
                grid.frame_at(moment_s - reach_s).max(inner.start)..grid.frame_at(moment_s + reach_s).min(inner.end);
            let distance = |frame: &usize| (grid.middle_s(*frame) - moment_s).abs();
            let nearest = near.filter(is_read).min_by(|a, b| distance(a).total_cmp(&distance(b)));
            frames.extend(nearest);
        }
        // A single frame may lie between two moments' reaches.
        if frames.is_empty() {
            frames.extend(inner.clone().filter(is_read).nth(inner.filter(is_read).count() / 2));
        }
        match frames.is_empty() {
            true => Err(Reason::NoFace),
            false => Ok(frames.into_iter().collect()),
        }
    }

    fn picture(
        &mut self,
        track: &Track,
        frame: usize,
        stretch: &LabelledStretch,
        votes: &[Vote],
        subject: Option<&str>,
    ) -> Option<(KnownFace, Row)> {
        let record = track.frames.get(frame.checked_sub(track.first_frame)?)?;
        let sequence = self.sequence();
        let stem = self.video.path.file_stem().unwrap_or_default().to_string_lossy();
        let name = format!("{stem}-{:.8}-{}-{frame:06}.png", sequence, signer(track.id));
        let path = self.folder.join(name);
        // One tier that says the same twice has one vote.
        let said: BTreeMap<usize, _> =
            stretch.votes.iter().map(|vote| (votes[*vote].tier, votes[*vote].label)).collect();
        let said: Vec<_> = said.into_values().collect();
        let (shares, label) = moment::shares(&said);
        let mut row = Row {
            label,
            subject: subject.map(str::to_owned),
            sequence: Some(sequence),
            frame: Some(frame as u64),
            ..Row::new(path, Split::Train)
        };
        if shares.iter().all(|share| *share < 1.0 - 1e-6) {
            row.set_soft(shares);
            self.import.disputed += 1;
        }
        Some((KnownFace::of(record)?, row))
    }
}
