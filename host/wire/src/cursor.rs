//! [`Cursor`]: a bounded look at bytes, front to back.

/// The bytes end before what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Short;

/// Takes bytes off the front and knows how many it took.
pub(crate) struct Cursor<'b> {
    bytes: &'b [u8],
    position: usize,
}

impl<'b> Cursor<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// How many bytes were taken.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// What wasn't taken yet.
    pub(crate) fn rest(&self) -> &'b [u8] {
        self.bytes.get(self.position..).unwrap_or_default()
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'b [u8], Short> {
        let taken = self.rest().get(..length).ok_or(Short)?;
        self.position += length;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        self.take(N)?.try_into().map_err(|_| Short)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Short> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Short> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u24(&mut self) -> Result<usize, Short> {
        let [high, middle, low] = self.array()?;
        Ok(usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low))
    }

    /// Bytes behind their length in one byte.
    pub(crate) fn short_string(&mut self) -> Result<&'b [u8], Short> {
        let length = self.u8()?;
        self.take(length.into())
    }

    /// Bytes behind their length in two bytes.
    pub(crate) fn long_string(&mut self) -> Result<&'b [u8], Short> {
        let length = self.u16()?;
        self.take(length.into())
    }
}
