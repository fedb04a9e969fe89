//! [`Encoding`]: content codings (RFC 9110 §8.4.1) that bodies are taken out of and put back into.

use std::io::{self, Read, Write as _};

use flate2::Compression;
use tokio::task::spawn_blocking;

/// Middle of the road: what servers use for what they compress on the way.
const BROTLI_QUALITY: u32 = 5;
const BROTLI_WINDOW: u32 = 22;
const BUFFER: usize = 8 * 1024;

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    /// The zlib format.
    Deflate,
    Brotli,
    Zstd,
}

impl Encoding {
    /// The coding of a body with that `Content-Encoding`, in lower case; `None` if it isn't known, or several.
    pub(super) fn of(header: &str) -> Option<Self> {
        Some(match header {
            "" | "identity" => Self::Identity,
            "gzip" | "x-gzip" => Self::Gzip,
            "deflate" => Self::Deflate,
            "br" => Self::Brotli,
            "zstd" => Self::Zstd,
            _ => return None,
        })
    }

    /// What is in `body`; `None` if it is broken, or longer than `limit` bytes.
    pub(super) async fn decode(self, body: Vec<u8>, limit: usize) -> Option<Vec<u8>> {
        if self == Self::Identity {
            return Some(body);
        }
        let decoded = spawn_blocking(move || {
            let mut out = Vec::new();
            self.reader(&body)?.take(limit as u64 + 1).read_to_end(&mut out)?;
            Ok::<_, io::Error>(out)
        });
        let decoded = decoded.await.ok().and_then(Result::ok)?;
        (decoded.len() <= limit).then_some(decoded)
    }

    fn reader<'b>(self, body: &'b [u8]) -> io::Result<Box<dyn Read + 'b>> {
        Ok(match self {
            Self::Identity => Box::new(body),
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(body)),
            Self::Deflate => Box::new(flate2::read::ZlibDecoder::new(body)),
            Self::Brotli => Box::new(brotli::Decompressor::new(body, BUFFER)),
            Self::Zstd => Box::new(ruzstd::decoding::StreamingDecoder::new(body).map_err(io::Error::other)?),
        })
    }

    /// `body` in this coding; `None` never happens but at the end of the process.
    pub(super) async fn encode(self, body: Vec<u8>) -> Option<Vec<u8>> {
        if self == Self::Identity {
            return Some(body);
        }
        let encoded = spawn_blocking(move || match self {
            Self::Identity => Ok(body),
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(&body)?;
                encoder.finish()
            }
            Self::Deflate => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(&body)?;
                encoder.finish()
            }
            Self::Brotli => {
                let mut encoder = brotli::CompressorWriter::new(Vec::new(), BUFFER, BROTLI_QUALITY, BROTLI_WINDOW);
                encoder.write_all(&body)?;
                Ok(encoder.into_inner())
            }
            Self::Zstd => Ok(ruzstd::encoding::compress_to_vec(&body[..], ruzstd::encoding::CompressionLevel::Fastest)),
        });
        encoded.await.ok().and_then(io::Result::ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bodies_come_out_as_they_went_in() {
        let body: Vec<u8> = (0..100_000u32).flat_map(|at| (at % 251 * at % 7).to_le_bytes()).collect();
        for name in ["", "gzip", "deflate", "br", "zstd"] {
            let encoding = Encoding::of(name).unwrap();
            for body in [&b""[..], b"hello", &body] {
                let encoded = encoding.encode(body.to_vec()).await.unwrap();
                assert_eq!(encoding.decode(encoded, body.len()).await.unwrap(), body, "{name}");
            }
        }
        assert_eq!(Encoding::of("gzip, br"), None);
        assert_eq!(Encoding::of("compress"), None);
    }

    #[tokio::test]
    async fn a_bomb_and_nonsense_stay_what_they_are() {
        for encoding in [Encoding::Gzip, Encoding::Deflate, Encoding::Brotli, Encoding::Zstd] {
            let bomb = encoding.encode(vec![0; 1 << 20]).await.unwrap();
            assert_eq!(encoding.decode(bomb, 1000).await, None, "{encoding:?}");
            assert_eq!(encoding.decode(b"nonsense".to_vec(), 1000).await, None, "{encoding:?}");
        }
    }
}
