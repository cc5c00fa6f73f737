//! Privacy settings: what a user hides from others.

/// The privacy settings as a set of bits. Bits that this release does not know are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Privacy(u32);

/// Something that a user may hide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Hidden {
    /// Which messages the user has read.
    ReadReceipts = 0,
    /// Whether the user is typing.
    Typing = 1,
    /// Whether the user is online.
    OnlineStatus = 2,
}

impl Privacy {
    /// The settings in their stored form.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The stored form.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether it is hidden.
    #[must_use]
    pub const fn hides(self, what: Hidden) -> bool {
        self.0 & (1 << what as u8) != 0
    }

    /// The settings with one part hidden or shown.
    #[must_use]
    pub const fn with(self, what: Hidden, hide: bool) -> Self {
        let bit = 1 << what as u8;
        Self(if hide { self.0 | bit } else { self.0 & !bit })
    }
}
