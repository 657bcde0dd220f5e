//! One page of a list, read object by object as it comes over the connection: never is more than one object of it in
//! memory, however large the page is. A page that goes silent is an error.

use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;

use futures::io::{AsyncBufRead, AsyncBufReadExt};
use kube::api::{ListMeta, ListParams};
use kube::{Client, Error};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::list_text::ListText;

/// How long the beginning of a page, and then each piece of it, is waited for.
const SILENCE: Duration = Duration::from_secs(25);
/// So many bytes are wanted in one page.
const BYTES: usize = 4 << 20;
/// So many objects are asked for first, and never more than these.
const FIRST: u32 = 10;
const MOST: u32 = 500;
/// A page is so many times as long as the one before at most: the next objects may be larger.
const GROWTH: u32 = 4;

/// How many objects the next page should have, and how many it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSize {
    objects: u32,
    most: u32,
}

impl Default for PageSize {
    fn default() -> Self {
        Self { objects: FIRST, most: MOST }
    }
}

impl PageSize {
    /// For a list that is begun anew because a page of this size did not come: an API server that is busy may take too long
    /// for it, and would again.
    pub fn smaller(self) -> Self {
        let most = (self.objects / 2).max(1);
        Self { objects: most.min(FIRST), most }
    }

    /// After a page of so many objects and bytes.
    fn after(self, objects: usize, bytes: usize) -> Self {
        let of_this_size = BYTES.checked_mul(objects).and_then(|wanted| wanted.checked_div(bytes));
        let wanted = of_this_size.and_then(|wanted| u32::try_from(wanted).ok()).unwrap_or(MOST);
        Self { objects: wanted.clamp(1, self.most).min(self.objects.saturating_mul(GROWTH)), ..self }
    }
}

/// The objects that a list is of.
pub struct Asked<'a> {
    pub url: &'a str,
    pub which: &'a ListParams,
    pub content: Content,
}

/// How much of each object is asked for.
pub enum Content {
    Whole,
    Metadata,
}

pub struct Page<K> {
    body: Pin<Box<dyn AsyncBufRead + Send>>,
    text: ListText,
    size: PageSize,
    objects: usize,
    bytes: usize,
    kind: PhantomData<fn() -> K>,
}

/// The part of a list around its objects.
#[derive(Default, Deserialize)]
struct Envelope {
    #[serde(default)]
    metadata: ListMeta,
}

/// The end of a page.
pub struct PageEnd {
    /// Names the next page; `None` after the last one.
    pub next: Option<String>,
    /// The version that the whole list shows.
    pub version: Option<String>,
    /// How many objects the next page should have.
    pub size: PageSize,
}

fn silent(what: &str) -> Error {
    let told = format!("{what} has been silent for {} s", SILENCE.as_secs());
    Error::ReadEvents(io::Error::new(io::ErrorKind::TimedOut, told))
}

/// It is one of those that tell of silence.
pub fn is_silence(error: &Error) -> bool {
    matches!(error, Error::ReadEvents(error) if error.kind() == io::ErrorKind::TimedOut)
}

impl<K: DeserializeOwned> Page<K> {
    pub fn size(&self) -> PageSize {
        self.size
    }

    /// Asks for the page that `token` names, else the first.
    pub async fn ask(client: &Client, asked: Asked<'_>, token: Option<String>, size: PageSize) -> kube::Result<Self> {
        let which = ListParams { limit: Some(size.objects), continue_token: token, ..asked.which.clone() };
        let request = kube::core::Request::new(asked.url);
        let request = match asked.content {
            Content::Whole => request.list(&which),
            Content::Metadata => request.list_metadata(&which),
        };
        let request = request.map_err(Error::BuildRequest)?;
        let answer = timeout(SILENCE, client.request_stream(request)).await;
        let body = Box::pin(answer.map_err(|_| silent("the beginning of a list"))??);
        let (text, objects, bytes) = Default::default();
        Ok(Self { body, text, size, objects, bytes, kind: PhantomData })
    }

    /// The next object; `None` when the page is over.
    pub async fn next(&mut self) -> kube::Result<Option<K>> {
        loop {
            let read = timeout(SILENCE, self.body.fill_buf()).await;
            let piece = read.map_err(|_| silent("a list"))?.map_err(Error::ReadEvents)?;
            if piece.is_empty() {
                return Ok(None);
            }
            let (taken, object) = self.text.take(piece).map_err(Error::ReadEvents)?;
            self.bytes += taken;
            self.body.as_mut().consume(taken);
            if let Some(object) = object {
                self.objects += 1;
                return serde_json::from_slice(&object).map(Some).map_err(Error::SerdeError);
            }
        }
    }

    pub fn end(self) -> kube::Result<PageEnd> {
        let around = self.text.around().map_err(Error::ReadEvents)?;
        let Envelope { metadata } = serde_json::from_slice(around).map_err(Error::SerdeError)?;
        let told = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(PageEnd {
            next: told(metadata.continue_),
            version: told(metadata.resource_version),
            size: self.size.after(self.objects, self.bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_about_the_same_bytes_whatever_the_size_of_its_objects() {
        let after = |objects, bytes| PageSize::default().after(objects, bytes).objects;
        assert_eq!(after(10, 10 << 20), 4, "of 1 MiB each");
        assert_eq!(after(10, 10 << 10), 4 * FIRST, "it grows step by step");
        assert_eq!((after(10, 10 << 30), after(0, 100)), (1, 1));
        let grown = |first: PageSize| (0..5).fold(first, |size, _| size.after(100, 100)).objects;
        assert_eq!(grown(PageSize::default()), MOST);
        let smaller = PageSize { objects: 40, most: MOST }.smaller();
        assert_eq!((smaller.objects, grown(smaller)), (FIRST, 20), "a page of 40 did not come");
        assert_eq!((0..9).fold(smaller, |size, _| size.smaller()).objects, 1);
    }
}
