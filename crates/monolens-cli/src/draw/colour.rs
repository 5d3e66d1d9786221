//! Colours.

/// An RGB colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour(pub u8, pub u8, pub u8);

impl Colour {
    /// Paper.
    pub const WHITE: Self = Self(255, 255, 255);
    /// Text.
    pub const INK: Self = Self(33, 37, 41);
    /// Secondary text.
    pub const GREY: Self = Self(108, 117, 125);
    /// Lines and frames.
    pub const PALE: Self = Self(222, 226, 230);
    /// Where there is nothing to show.
    pub const NOTHING: Self = Self(241, 243, 245);
    /// System text.
    pub const SYSTEM: Self = Self(92, 124, 250);
    /// Image tokens.
    pub const IMAGE: Self = Self(247, 103, 7);
    /// User text.
    pub const USER: Self = Self(47, 158, 68);
    /// The answer.
    pub const ANSWER: Self = Self(174, 62, 201);

    /// Strong, well separated colours for things that are counted.
    pub fn nth(i: usize) -> Self {
        const COLOURS: [Colour; 8] = [
            Colour(224, 49, 49),
            Colour(25, 113, 194),
            Colour(47, 158, 68),
            Colour(232, 89, 12),
            Colour(156, 54, 181),
            Colour(12, 133, 153),
            Colour(194, 37, 92),
            Colour(102, 100, 16),
        ];
        COLOURS[i % COLOURS.len()]
    }

    /// Black body: 0 is black, 1 nearly white.
    pub fn heat(t: f32) -> Self {
        let c = colorous::INFERNO.eval_continuous(f64::from(t.clamp(0.0, 1.0)));
        Self(c.r, c.g, c.b)
    }

    /// `self` with `share` of `other` mixed in.
    pub fn mix(self, other: Self, share: f32) -> Self {
        let m = |a: u8, b: u8| (f32::from(a) + (f32::from(b) - f32::from(a)) * share).round() as u8;
        Self(m(self.0, other.0), m(self.1, other.1), m(self.2, other.2))
    }
}
