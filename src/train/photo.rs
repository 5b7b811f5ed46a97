//! Picture files as people have them: told by their content, within limits, and turned as the camera was held.

use std::io::{self, BufReader, Read as _, Seek as _};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use crate::files;

/// One decoded file may take this much; strips are very high, so that no side is limited.
const LARGEST: u64 = 512 << 20;
/// What a decoder may take beyond the picture itself: tables, and chunks such as a colour profile, which a hostile file
/// unfolds to gigabytes.
const BESIDES: u64 = 16 << 20;
/// Bytes by which formats are told.
const START: u64 = 64;

/// Why a file cannot be used as a picture.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum PhotoError {
    #[error(transparent)]
    Unreadable(#[from] io::Error),
    #[error("not a readable image: {0}")]
    Image(#[from] ImageError),
    #[error("not a readable image: it is neither PNG, JPEG, WebP nor BMP{}", .0.map_or(String::new(), |other| format!(", but {other}")))]
    Unknown(Option<&'static str>),
    #[error("not a readable image: its {width}x{height} pixels take more than {} MB", LARGEST >> 20)]
    TooLarge { width: u32, height: u32 },
}

/// Whether the file's name is that of a picture. What Macs put beside each file on other file systems (`._name`) does not count.
pub fn is_called_a_picture(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    let known = ["png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff", "gif", "heic", "heif", "avif", "jp2", "jxl"];
    !name.starts_with("._") && known.iter().any(|known| extension == *known)
}

/// Width and height as the picture is seen.
///
/// # Errors
/// If the file is no picture of a known format, or too large.
pub fn size(path: &Path) -> Result<(usize, usize), PhotoError> {
    let (mut decoder, orientation) = opened(path)?;
    let (width, height) = decoder_size(&mut decoder, orientation);
    Ok((width as usize, height as usize))
}

/// The picture as it is seen.
///
/// # Errors
/// As [`size`], and if its data are damaged.
pub fn decode(path: &Path) -> Result<DynamicImage, PhotoError> {
    let (decoder, orientation) = opened(path)?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok(image)
}

fn decoder_size(decoder: &mut impl ImageDecoder, orientation: Orientation) -> (u32, u32) {
    let (width, height) = decoder.dimensions();
    let is_turned = matches!(
        orientation,
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH
    );
    if is_turned { (height, width) } else { (width, height) }
}

/// A decoder that may take what the picture's size asks for, and how the picture is to be turned.
fn opened(path: &Path) -> Result<(impl ImageDecoder, Orientation), PhotoError> {
    // A pipe or a device would keep a training run waiting for ever.
    let mut file = BufReader::new(files::open_found(path)?);
    let mut start = Vec::new();
    file.by_ref().take(START).read_to_end(&mut start)?;
    let Some(format) = format(&start) else { return Err(PhotoError::Unknown(other_format(&start))) };
    file.rewind()?;
    let limits = |bytes: u64| {
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(bytes);
        limits
    };
    let mut reader = ImageReader::with_format(file, format);
    reader.limits(limits(LARGEST));
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    if decoder.total_bytes() > LARGEST {
        return Err(PhotoError::TooLarge { width, height });
    }
    decoder.set_limits(limits(decoder.total_bytes() + BESIDES))?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    Ok((decoder, orientation))
}

fn format(start: &[u8]) -> Option<ImageFormat> {
    use ImageFormat::{Bmp, Jpeg, Png, WebP};
    image::guess_format(start).ok().filter(|format| [Png, Jpeg, WebP, Bmp].contains(format))
}

/// What a file that is not a picture may be.
fn other_format(start: &[u8]) -> Option<&'static str> {
    let brand = start.get(4..12).unwrap_or_default();
    match start {
        [b'G', b'I', b'F', b'8', ..] => Some("GIF"),
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => Some("TIFF"),
        [0xff, 0x0a, ..] => Some("JPEG XL"),
        [b'P', b'K', ..] => Some("a zip file"),
        [b'<', ..] => Some("a text such as a web page"),
        [] => Some("empty"),
        _ if brand.starts_with(b"ftypavif") => Some("AVIF"),
        _ if brand.starts_with(b"ftyphei") || brand.starts_with(b"ftypmif1") => Some("HEIC"),
        _ if brand.starts_with(b"ftyp") => Some("a video"),
        _ if brand.starts_with(b"jP  ") => Some("JPEG 2000"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use image::{ImageEncoder as _, codecs::jpeg::JpegEncoder};

    use super::*;

    /// The smallest EXIF block: one entry, the orientation (Exif 2.32, 4.6.4 A).
    fn exif(orientation: u8) -> Vec<u8> {
        let mut block = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
        block.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
        block
    }

    fn upright() -> image::RgbImage {
        image::RgbImage::from_fn(24, 16, |x, y| match (x < 8, y < 8) {
            (true, true) => image::Rgb([250, 10, 10]),
            (true, false) => image::Rgb([10, 250, 10]),
            _ => image::Rgb([10, 10, 250]),
        })
    }

    #[test]
    fn a_picture_stored_sideways_is_seen_upright() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("phone.jpg");
        // What each of the eight orientations stores: the inverse of how it is to be turned.
        let stored = |orientation: u8| {
            let mut image = DynamicImage::ImageRgb8(upright());
            let turned = Orientation::from_exif(match orientation {
                6 => 8,
                8 => 6,
                other => other,
            });
            image.apply_orientation(turned.unwrap());
            image
        };
        for orientation in 1..=8 {
            let mut bytes = Vec::new();
            let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 98);
            encoder.set_exif_metadata(exif(orientation)).unwrap();
            let image = stored(orientation).into_rgb8();
            encoder.write_image(&image, image.width(), image.height(), image::ExtendedColorType::Rgb8).unwrap();
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(size(&path).unwrap(), (24, 16), "orientation {orientation}");
            let seen = decode(&path).unwrap().into_rgb8();
            for (pixel, wanted) in seen.pixels().zip(upright().pixels()) {
                let apart = pixel.0.iter().zip(wanted.0).map(|(a, b)| a.abs_diff(b)).max().unwrap();
                // Colours are stored at half the resolution.
                assert!(apart < 130, "orientation {orientation}: {pixel:?} for {wanted:?}");
            }
            let corner = seen.get_pixel(1, 1).0;
            assert!(corner[0] > 200 && corner[1] < 60, "orientation {orientation}: {corner:?}");
        }
    }

    #[test]
    fn the_content_counts_and_not_the_name() {
        let folder = tempfile::tempdir().unwrap();
        for (name, format) in [
            ("a.jpg", ImageFormat::WebP),
            ("b.png", ImageFormat::Jpeg),
            ("c.jpg", ImageFormat::Bmp),
            ("e", ImageFormat::Png),
        ] {
            let path = folder.path().join(name);
            upright().save_with_format(&path, format).unwrap();
            assert_eq!(decode(&path).unwrap().to_rgb8().dimensions(), (24, 16), "{format:?}");
        }
    }

    #[test]
    fn what_is_no_picture_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jpg");
        for (bytes, what) in [
            (&b"GIF89a......"[..], "but GIF"),
            (b"II*\0\x08\0\0\0", "but TIFF"),
            (b"\0\0\0\x1cftypavif....", "but AVIF"),
            (b"\0\0\0\x18ftypheic....", "but HEIC"),
            (b"<!DOCTYPE html>", "web page"),
            (b"", "but empty"),
            (b"no picture at all", "neither PNG"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = decode(&path).err().unwrap().to_string();
            assert!(error.contains(what), "{error}");
        }
        let pipe = folder.path().join("pipe.png");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [folder.path(), &pipe] {
            assert!(size(path).err().unwrap().to_string().contains("no ordinary file"), "{}", path.display());
        }
    }

    #[test]
    fn names_of_pictures_are_known_and_a_macs_shadow_files_are_not() {
        for (name, is_one) in
            [("a.PNG", true), ("b.tiff", true), ("c.heic", true), ("._a.png", false), ("a.txt", false)]
        {
            assert_eq!(is_called_a_picture(Path::new(name)), is_one, "{name}");
        }
    }
}
