//! Which presets a device takes: what was found to be the best, by kind of projection.

use crate::ops::weight_feature;
use crate::{Decode, Prefill};
use monolens_graph::WeightFormat;
use std::collections::BTreeMap;
use std::fmt;

/// Sizes that are told apart, as powers of two: below and above, others would say the same.
const INNER: [usize; 2] = [256, 8192];
const OUTPUTS: [usize; 2] = [256, 16_384];

/// Projections that share a choice: by weight format, elements of a row and number of rows, each rounded up to a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class {
    format: &'static str,
    inner: usize,
    outputs: usize,
}

impl Class {
    /// Of a projection with so many weight rows in all (gate and up together) of so many elements.
    pub fn of(format: WeightFormat, inner: usize, outputs: usize) -> Self {
        let rounded = |n: usize, [least, most]: [usize; 2]| n.clamp(least, most).next_power_of_two();
        Self {
            format: weight_feature(format),
            inner: rounded(inner, INNER),
            outputs: rounded(outputs, OUTPUTS),
        }
    }

    /// The weight format, as shaders name it.
    pub fn format(&self) -> &'static str {
        self.format
    }

    fn from_text(format: &str, inner: &str, outputs: &str) -> Option<Self> {
        let format = ["f32", "bf16", "f16", "q8", "q4"].into_iter().find(|f| *f == format)?;
        let size = |text: &str, [least, most]: [usize; 2]| {
            text.parse().ok().filter(|n: &usize| n.is_power_of_two() && (least..=most).contains(n))
        };
        Some(Self { format, inner: size(inner, INNER)?, outputs: size(outputs, OUTPUTS)? })
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.format, self.inner, self.outputs)
    }
}

/// Presets of a kind of projection; none is the device's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// For many rows.
    pub prefill: Option<Prefill>,
    /// For few rows.
    pub decode: Option<Decode>,
}

impl Choice {
    /// The same, with what `other` chooses in front.
    fn under(self, other: Self) -> Self {
        Self { prefill: other.prefill.or(self.prefill), decode: other.decode.or(self.decode) }
    }
}

/// The choices for a device. Without any, the defaults are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    everywhere: Choice,
    of_class: BTreeMap<Class, Choice>,
}

impl Tuning {
    /// One choice for every projection.
    pub fn everywhere(choice: Choice) -> Self {
        Self { everywhere: choice, of_class: BTreeMap::new() }
    }

    /// Adds a choice for a class to what is there for it.
    pub fn set(&mut self, class: Class, choice: Choice) {
        let there = self.of_class.entry(class).or_default();
        *there = there.under(choice);
    }

    /// Adds all choices of another, which go before.
    pub fn extend(&mut self, other: &Self) {
        other.of_class.iter().for_each(|(&class, &choice)| self.set(class, choice));
    }

    /// What is chosen for a class.
    pub fn choice(&self, class: Class) -> Choice {
        self.of_class.get(&class).map_or(self.everywhere, |&choice| self.everywhere.under(choice))
    }

    /// Kinds of projections with a choice of their own.
    pub fn classes(&self) -> impl Iterator<Item = (Class, Choice)> + '_ {
        self.of_class.iter().map(|(&class, &choice)| (class, choice))
    }

    /// As lines of text: format, elements of a row, rows, preset for many rows and for few (`-`: none).
    pub fn to_text(&self) -> String {
        let name = |preset: Option<String>| preset.unwrap_or_else(|| "-".into());
        let line = |(class, Choice { prefill, decode }): (&Class, &Choice)| {
            format!(
                "{class} {} {}\n",
                name(prefill.map(|p| p.to_string())),
                name(decode.map(|p| p.to_string()))
            )
        };
        self.of_class.iter().map(line).collect()
    }

    /// What [`Tuning::to_text`] wrote; none if any line is something else, an unknown preset for instance.
    pub fn from_text(text: &str) -> Option<Self> {
        fn preset<P: std::str::FromStr>(name: &str) -> Option<Option<P>> {
            if name == "-" { Some(None) } else { name.parse().ok().map(Some) }
        }
        let mut tuning = Self::default();
        for line in text.lines() {
            let [format, inner, outputs, prefill, decode] = line.split(' ').collect::<Vec<_>>()[..] else {
                return None;
            };
            let choice = Choice { prefill: preset(prefill)?, decode: preset(decode)? };
            tuning.set(Class::from_text(format, inner, outputs)?, choice);
        }
        Some(tuning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tile;
    use monolens_graph::DType;

    const BF16: WeightFormat = WeightFormat::Plain(DType::BF16);

    #[test]
    fn like_sizes_share_a_choice() {
        assert_eq!(Class::of(BF16, 2048, 4096), Class::of(BF16, 1500, 2049));
        assert_ne!(Class::of(BF16, 2048, 4096), Class::of(BF16, 2048, 4097));
        assert_ne!(Class::of(BF16, 2048, 4096), Class::of(WeightFormat::Plain(DType::F16), 2048, 4096));
        assert_eq!(Class::of(BF16, 1, 1), Class::of(BF16, 256, 256));
        assert_eq!(Class::of(BF16, usize::MAX, usize::MAX), Class::of(BF16, 8192, 92_553));
    }

    #[test]
    fn choices_are_written_and_read() {
        let mut tuning = Tuning::default();
        let narrow = Choice { prefill: Some(Prefill::Tiles(Tile::ALL[1])), decode: None };
        tuning.set(Class::of(BF16, 2048, 2048), narrow);
        tuning.set(
            Class::of(BF16, 8192, 2048),
            Choice { prefill: Some(Prefill::Lanes), decode: Some(Decode::ALL[2]) },
        );
        let text = tuning.to_text();
        assert_eq!(text, "bf16 2048 2048 64x64-8x8 -\nbf16 8192 2048 lanes 16x16\n");
        assert_eq!(Tuning::from_text(&text), Some(tuning.clone()));
        assert_eq!(Tuning::from_text(""), Some(Tuning::default()));
        // A later choice for a phase goes before, and leaves the other phase's.
        let mut later = Tuning::default();
        later.set(Class::of(BF16, 2048, 2048), Choice { prefill: None, decode: Some(Decode::ALL[1]) });
        tuning.extend(&later);
        let both = Choice { decode: Some(Decode::ALL[1]), ..narrow };
        assert_eq!(tuning.choice(Class::of(BF16, 2048, 2048)), both);
        assert_eq!(tuning.choice(Class::of(BF16, 512, 512)), Choice::default());
    }

    #[test]
    fn whatever_else_a_file_holds_is_no_tuning() {
        for bad in [
            "bf16 2048 2048 64x64-8x8",
            "bf16 2048 2048 - - -",
            "bf16 2048 2048 64x65-8x8 -",
            "bf16 2048 2048 - 3x3",
            "int3 2048 2048 - -",
            "bf16 2047 2048 - -",
            "bf16 2048 1048576 - -",
            "bf16  2048 2048 - -",
            "\n",
            "\u{0}\u{1}",
        ] {
            assert_eq!(Tuning::from_text(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn one_choice_everywhere_gives_way_to_a_choice_of_a_class() {
        let everywhere = Choice { prefill: None, decode: Some(Decode::ALL[3]) };
        let mut tuning = Tuning::everywhere(everywhere);
        let class = Class::of(BF16, 512, 512);
        assert_eq!(tuning.choice(class), everywhere);
        tuning.set(class, Choice { prefill: None, decode: Some(Decode::ALL[4]) });
        assert_eq!(tuning.choice(class).decode, Some(Decode::ALL[4]));
    }
}
