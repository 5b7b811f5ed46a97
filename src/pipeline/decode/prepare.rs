//! From the decoded to the displayed picture: deinterlaced, square pixels, upright, of one size, 8-bit planar. One libavfilter graph
//! does all of it, and is there only where something needs doing.
#![expect(unsafe_code, reason = "Pixel format flags are not in the binding")]

use std::collections::VecDeque;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;
use ffmpeg_next::{Rational, filter};

use super::picture::is_plain;

/// What a stream needs for display, beyond what each frame says itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Display {
    /// Filter turning the picture upright; empty for none.
    pub(super) turn: &'static str,
    /// The container's sample aspect ratio, used where a frame states none.
    pub(super) sample_aspect: Rational,
    /// Deinterlace every frame, not only those flagged.
    pub(super) deinterlace_all: bool,
    /// Deinterlace flagged frames.
    pub(super) deinterlace_flagged: bool,
    /// Largest picture made by widening for square pixels.
    pub(super) max_pixels: u64,
}

/// The properties that decide what a graph must do; a change needs another graph.
#[derive(Debug, Clone, Copy, PartialEq)]
struct PictureFormat {
    format: Pixel,
    width: u32,
    height: u32,
    sample_aspect: Rational,
    deinterlace: bool,
}

struct FilterGraph {
    shape: PictureFormat,
    graph: filter::Graph,
}

/// Makes displayed pictures. Each picture that goes in comes out once, in order, with what was put beside it; a
/// deinterlacer holds one back.
pub(super) struct Preparer<T> {
    display: Display,
    graph: Option<FilterGraph>,
    deinterlacing: bool,
    beside: VecDeque<T>,
    /// Frames taken so far, the graph's clock; the real time stamps travel beside the pictures.
    taken: i64,
    /// Size of the first displayed picture. All others are fitted into it, so that a video has one system of coordinates
    /// even where its pictures change their size.
    fit: Option<(u32, u32)>,
}

impl<T> Preparer<T> {
    pub(super) fn new(display: Display) -> Self {
        Self {
            display,
            graph: None,
            deinterlacing: display.deinterlace_all,
            beside: VecDeque::new(),
            taken: 0,
            fit: None,
        }
    }

    /// Takes a decoded frame and gives the displayed frames that are ready.
    pub(super) fn push(&mut self, frame: Video, beside: T) -> Result<Vec<(Video, T)>, ffmpeg::Error> {
        let mut ready = Vec::new();
        if self.display.deinterlace_flagged && frame.is_interlaced() {
            self.deinterlacing = true;
        }
        let shape = self.shape(&frame);
        let fit = *self.fit.get_or_insert_with(|| displayed_size(&shape, &self.display));
        if self.graph.as_ref().is_some_and(|graph| graph.shape != shape) {
            ready = self.finish()?;
        }
        if self.graph.is_none() && !self.needs_graph(&shape, fit) {
            ready.push((frame, beside));
            return Ok(ready);
        }
        self.beside.push_back(beside);
        let mut frame = frame;
        self.taken += 1;
        frame.set_pts(Some(self.taken));
        if self.graph.is_none() {
            self.graph = Some(self.build(shape, &frame, fit)?);
        }
        if let Some(graph) = &mut self.graph {
            input(&mut graph.graph)?.source().add(&frame)?;
        }
        self.drain(&mut ready)?;
        Ok(ready)
    }

    /// Gives the frames still inside.
    pub(super) fn finish(&mut self) -> Result<Vec<(Video, T)>, ffmpeg::Error> {
        let mut ready = Vec::new();
        if let Some(graph) = &mut self.graph {
            input(&mut graph.graph)?.source().flush()?;
            self.drain(&mut ready)?;
        }
        self.graph = None;
        Ok(ready)
    }

    fn drain(&mut self, ready: &mut Vec<(Video, T)>) -> Result<(), ffmpeg::Error> {
        let Some(graph) = &mut self.graph else { return Ok(()) };
        loop {
            let mut frame = Video::empty();
            match output(&mut graph.graph)?.sink().frame(&mut frame) {
                Ok(()) => {
                    let Some(beside) = self.beside.pop_front() else { return Err(ffmpeg::Error::Bug) };
                    ready.push((frame, beside));
                }
                Err(ffmpeg::Error::Eof) => return Ok(()),
                Err(ffmpeg::Error::Other { errno }) if errno == ffmpeg::error::EAGAIN => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn shape(&self, frame: &Video) -> PictureFormat {
        let sensible = |ratio: Rational| {
            let value = f64::from(ratio);
            ratio.denominator() > 0 && (0.1..=10.0).contains(&value)
        };
        let sample_aspect = [frame.aspect_ratio(), self.display.sample_aspect]
            .into_iter()
            .find(|ratio| sensible(*ratio))
            .unwrap_or(Rational(1, 1));
        let deinterlace = self.deinterlacing && frame.height() >= 4 && frame.width() >= 3;
        PictureFormat {
            format: frame.format(),
            width: frame.width(),
            height: frame.height(),
            sample_aspect,
            deinterlace,
        }
    }

    fn needs_graph(&self, shape: &PictureFormat, fit: (u32, u32)) -> bool {
        !is_plain(shape.format)
            || displayed_size(shape, &self.display) != fit
            || shape.deinterlace
            || square_size(shape, self.display.max_pixels).is_some()
            || !self.display.turn.is_empty()
    }

    fn build(
        &self,
        shape: PictureFormat,
        frame: &Video,
        (width, height): (u32, u32),
    ) -> Result<FilterGraph, ffmpeg::Error> {
        let mut steps: Vec<String> = Vec::new();
        if shape.deinterlace {
            let which = if self.display.deinterlace_all { "all" } else { "interlaced" };
            // One frame out for each frame in (Bob Weaver deinterlacing filter of libavfilter).
            steps.push(format!("bwdif=mode=send_frame:deint={which}"));
        }
        let target = plain_format(shape.format);
        if is_rgb(shape.format) {
            steps.push("scale=out_color_matrix=bt601:out_range=tv".into());
        }
        if !is_plain(shape.format) {
            steps.push(format!("format={target}"));
        }
        if let Some((width, height)) = square_size(&shape, self.display.max_pixels) {
            steps.push(format!("scale={width}:{height}:flags=bicubic,setsar=1"));
        }
        if !self.display.turn.is_empty() {
            steps.push(self.display.turn.into());
        }
        if displayed_size(&shape, &self.display) != (width, height) {
            // As players do: as large as it fits, in the middle.
            steps.push(format!(
                "scale={width}:{height}:force_original_aspect_ratio=decrease:flags=bicubic,\
                 pad={width}:{height}:(ow-iw)/2:(oh-ih)/2"
            ));
        }
        steps.push(format!("format={target}"));
        let mut graph = filter::Graph::new();
        let arguments = format!(
            "video_size={}x{}:pix_fmt={}:time_base=1/1:pixel_aspect={}/{}",
            frame.width(),
            frame.height(),
            ffi::AVPixelFormat::from(shape.format) as i32,
            shape.sample_aspect.numerator(),
            shape.sample_aspect.denominator(),
        );
        let (buffer, sink) = (filter::find("buffer"), filter::find("buffersink"));
        let (Some(buffer), Some(sink)) = (buffer, sink) else { return Err(ffmpeg::Error::FilterNotFound) };
        graph.add(&buffer, "in", &arguments)?;
        graph.add(&sink, "out", "")?;
        graph.output("in", 0)?.input("out", 0)?.parse(&steps.join(","))?;
        graph.validate()?;
        Ok(FilterGraph { shape, graph })
    }
}

fn input(graph: &mut filter::Graph) -> Result<filter::Context, ffmpeg::Error> {
    graph.get("in").ok_or(ffmpeg::Error::FilterNotFound)
}

fn output(graph: &mut filter::Graph) -> Result<filter::Context, ffmpeg::Error> {
    graph.get("out").ok_or(ffmpeg::Error::FilterNotFound)
}

/// The size with square pixels, grown in one direction and never shrunk; `None` where pixels are square already or the
/// result would be too large.
fn square_size(shape: &PictureFormat, max_pixels: u64) -> Option<(u32, u32)> {
    let ratio = f64::from(shape.sample_aspect);
    let grow = |size: u32, factor: f64| (f64::from(size) * factor).round() as u32;
    let (width, height) = match ratio {
        r if r > 1.0 => (grow(shape.width, r), shape.height),
        r if r < 1.0 => (shape.width, grow(shape.height, 1.0 / r)),
        _ => return None,
    };
    ((width, height) != (shape.width, shape.height) && u64::from(width) * u64::from(height) <= max_pixels)
        .then_some((width, height))
}

/// The size of the displayed picture, before it is fitted into that of the first one.
fn displayed_size(shape: &PictureFormat, display: &Display) -> (u32, u32) {
    let (width, height) = square_size(shape, display.max_pixels).unwrap_or((shape.width, shape.height));
    if display.turn.starts_with("transpose") { (height, width) } else { (width, height) }
}

fn flags(format: Pixel) -> (u64, u8, [u8; 2]) {
    // SAFETY: the descriptor table is constant; a null pointer is checked for.
    unsafe {
        let descriptor = ffi::av_pix_fmt_desc_get(format.into());
        match descriptor.as_ref() {
            Some(d) => (d.flags, d.nb_components, [d.log2_chroma_w, d.log2_chroma_h]),
            None => (0, 0, [0, 0]),
        }
    }
}

fn is_rgb(format: Pixel) -> bool {
    flags(format).0 & (ffi::AV_PIX_FMT_FLAG_RGB as u64 | ffi::AV_PIX_FMT_FLAG_PAL as u64) != 0
}

/// The plain format nearest to `format`.
fn plain_format(format: Pixel) -> &'static str {
    let (_, components, shift) = flags(format);
    match (is_rgb(format), components, shift) {
        (true, ..) => "yuv444p",
        (false, 1 | 2, _) => "gray",
        (false, _, [0, 0]) => "yuv444p",
        (false, _, [1, 0]) => "yuv422p",
        _ => "yuv420p",
    }
}
