//! Work over many items: what a task says of its batch, what its chunks are told, and what its status counts.

use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most items of a batch.
pub const MOST_ITEMS: i64 = 10_000_000;
/// The most items of a batch that writes them down.
pub const MOST_WRITTEN_ITEMS: usize = 10_000;
const CHUNK_SIZE: i32 = 100;
const PARALLELISM: i32 = 8;

/// The items of a task that is done in chunks: either count, the number of items, or items, a list of them.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
// No CEL rule sees a list of any values.
#[schemars(extend("oneOf" = [{"required": ["count"]}, {"required": ["items"]}]))]
pub struct Batch {
    /// The number of items, 0 to 10000000. They are numbered from 0. It changes only together with runId. Example: 100000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub count: Option<i64>,

    /// The items themselves, any JSON values, at most 10000; their size counts as that of the payload. Larger lists stay
    /// in a store of yours: write count, and a reference in the payload. It changes only together with runId.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "items")]
    pub items: Option<ItemList>,

    /// The number of items that one attempt is given, 1 to 10000. A change counts from the next chunk on. Default: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub chunk_size: Option<i32>,

    /// The number of chunks that are at work or wait for a slot at once, 1 to 1000; the queue and the type bound them too. It
    /// may change at any time. Default: 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub parallelism: Option<i32>,

    /// The number of items that may fail for good, or a percentage of all items, rounded down. Once more have failed, no new
    /// chunk starts. It may change at any time. Default: every item is tried, and any that failed makes the task
    /// Failed. Example: 10 or "1%".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "failed_items_limit")]
    pub max_failed_items: Option<FailedItemsLimit>,
}

impl Batch {
    /// The number of items.
    pub fn total(&self) -> u32 {
        let written = self.items.as_ref().map(|items| items.count() as i64);
        u32::try_from(written.or(self.count).unwrap_or_default().clamp(0, MOST_ITEMS)).unwrap_or_default()
    }

    /// The same batch by the number of its items, where their content was dropped.
    pub(super) fn without_measured(self) -> Self {
        match &self.items {
            Some(ItemList::Measured { count, .. }) => Self { count: Some(*count as i64), items: None, ..self },
            _ => self,
        }
    }

    pub fn chunk_size(&self) -> u32 {
        u32::try_from(self.chunk_size.unwrap_or(CHUNK_SIZE)).unwrap_or(1).max(1)
    }

    pub fn parallelism(&self) -> usize {
        usize::try_from(self.parallelism.unwrap_or(PARALLELISM)).unwrap_or(1).max(1)
    }
}

/// A number of items, or a percentage of all: 10 or "1%".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FailedItemsLimit {
    Number(i64),
    Percent(String),
}

/// The items of a batch. The operator's caches keep only how many there are and their size.
#[derive(Clone, Debug, PartialEq)]
pub enum ItemList {
    Whole(Vec<Value>),
    Measured { count: usize, bytes: usize },
}

impl ItemList {
    pub fn count(&self) -> usize {
        match self {
            Self::Whole(items) => items.len(),
            Self::Measured { count, .. } => *count,
        }
    }

    /// The size in bytes as compact JSON.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Whole(items) => serde_json::to_string(items).map_or(0, |json| json.len()),
            Self::Measured { bytes, .. } => *bytes,
        }
    }

    /// The same list without its content.
    pub fn measured(&self) -> Self {
        Self::Measured { count: self.count(), bytes: self.bytes() }
    }

    /// The items, where they are known.
    pub fn whole(&self) -> Option<&[Value]> {
        match self {
            Self::Whole(items) => Some(items),
            Self::Measured { .. } => None,
        }
    }
}

impl Serialize for ItemList {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Whole(items) => items.serialize(serializer),
            Self::Measured { .. } => {
                Err(serde::ser::Error::custom("items whose content was dropped cannot be written"))
            }
        }
    }
}

impl<'de> Deserialize<'de> for ItemList {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::Whole)
    }
}

/// A chunk of a batch. Only the operator writes it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.uid == oldSelf.uid && self.runId == oldSelf.runId && self.number == oldSelf.number && self.indexes == oldSelf.indexes")
    .message("a chunk never changes: only the operator makes one"))]
pub struct Chunk {
    /// Name of the batch's Task.
    #[schemars(length(min = 1, max = 253))]
    pub batch: String,
    /// The uid of that Task.
    #[schemars(length(min = 1, max = 63))]
    pub uid: String,
    /// The run of the batch.
    #[schemars(length(min = 1, max = 63))]
    pub run_id: String,
    /// When that run began, for a runId may be used again.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^-?[0-9]+$"))]
    pub began: String,
    /// Number of the chunk within the run, from 1.
    #[schemars(range(min = 1))]
    pub number: i64,
    /// The indexes of its items, as 17,300-305.
    #[schemars(length(min = 1, max = 131_072), regex(pattern = "^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$"))]
    pub indexes: String,
    /// How often each of its items has failed before.
    #[serde(default)]
    pub failures: i32,
    /// Its items come out of a chunk that ended by itself, and stay apart from others.
    #[serde(default)]
    pub apart: bool,
    /// The items themselves, in the order of their indexes, where the batch writes them down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "items")]
    pub items: Option<Vec<Value>>,
}

/// Where the items of a batch are. Each is counted once.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchStatus {
    /// All items.
    pub total: i64,
    pub done: i64,
    /// Items that have failed for good.
    pub failed: i64,
    /// Items of chunks that are at work.
    pub running: i64,
    /// Items that have failed and are tried again.
    #[serde(default)]
    pub waiting_for_retry: i64,
    /// Items that have not been begun.
    #[serde(default)]
    pub not_started: i64,
    /// Items whose chunk was stopped with the batch.
    #[serde(default)]
    pub cancelled: i64,
    /// The indexes of the items that failed for good, as 17,300-305; cut at 2048 bytes, with an ellipsis at its end then.
    /// The archive has all of them, with their errors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub failed_items: Option<String>,
}

fn items(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": MOST_WRITTEN_ITEMS,
        "items": { "x-kubernetes-preserve-unknown-fields": true },
        "x-kubernetes-list-type": "atomic",
    })
}

fn failed_items_limit(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "maxLength": 4,
        "x-kubernetes-validations": [{
            "rule": "type(self) == int ? self >= 0 : string(self).matches('^(100|[1-9]?[0-9])%$')",
            "message": "write a number of items, such as 10, or a percentage of all items in quotation marks, such as \"1%\"",
        }],
    })
}
