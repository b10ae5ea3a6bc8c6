//! What a display showed, and what can be found on it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use image::{ImageFormat, RgbImage, imageops};

use crate::process::output;

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// Left edge.
    pub x: u32,
    /// Upper edge.
    pub y: u32,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// One picture of a display.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture(pub RgbImage);

impl Picture {
    /// From a PNG.
    ///
    /// # Errors
    /// When it is not one.
    pub fn decode(png: &[u8]) -> Result<Self> {
        let image = image::load_from_memory_with_format(png, ImageFormat::Png)
            .context("reading the picture of the display")?;
        Ok(Self(image.to_rgb8()))
    }

    /// Writes it as a PNG.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        self.0
            .save_with_format(path, ImageFormat::Png)
            .with_context(|| format!("writing the picture {}", path.display()))
    }

    /// A part of it.
    #[must_use]
    pub fn crop(&self, area: Area) -> Self {
        Self(imageops::crop_imm(&self.0, area.x, area.y, area.width, area.height).to_image())
    }

    /// Whether it is of one colour: a display on which nothing was drawn yet.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        let mut pixels = self.0.pixels();
        let first = pixels.next();
        pixels.all(|pixel| Some(pixel) == first)
    }

    /// How many pixels have this colour, give or take `tolerance` in each channel.
    #[must_use]
    pub fn count(&self, colour: [u8; 3], tolerance: u8) -> usize {
        let near = |pixel: &&image::Rgb<u8>| {
            pixel
                .0
                .iter()
                .zip(colour)
                .all(|(a, b)| a.abs_diff(b) <= tolerance)
        };
        self.0.pixels().filter(near).count()
    }

    /// The mean colour.
    #[must_use]
    pub fn mean(&self) -> [f64; 3] {
        let mut sum = [0_u64; 3];
        for pixel in self.0.pixels() {
            for (total, channel) in sum.iter_mut().zip(pixel.0) {
                *total += u64::from(channel);
            }
        }
        let pixels = f64::from(self.0.width()) * f64::from(self.0.height());
        #[expect(
            clippy::cast_precision_loss,
            reason = "a display has fewer than 2^44 pixels"
        )]
        sum.map(|total| total as f64 / pixels.max(1.0))
    }

    /// The words on it, line by line, as Tesseract reads them.
    ///
    /// # Errors
    /// When Tesseract is missing or fails.
    pub fn read(&self) -> Result<String> {
        // Tesseract expects print: letters some 30 pixels high, dark on light.
        let larger = imageops::resize(
            &self.0,
            self.0.width() * 3,
            self.0.height() * 3,
            imageops::FilterType::CatmullRom,
        );
        let mut grey = imageops::grayscale(&larger);
        let [r, g, b] = self.mean();
        if r + g + b < 3.0 * 128.0 {
            imageops::invert(&mut grey);
        }
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("page.png");
        grey.save(&file)?;
        let text = output(
            Command::new("tesseract")
                .arg(&file)
                .args(["-", "--psm", "11"])
                .env("OMP_THREAD_LIMIT", "1"),
        )?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}
