//! What a store on local files needs beyond what `object_store` does.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt as _};
use object_store::PutPayload;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

use super::BlobError;
use crate::files;

/// Read at once from a file that is streamed. The store's own stream takes 8 KiB.
const STREAM_CHUNK_BYTES: usize = 256 << 10;

/// Written to a file at once. For megabytes in one write the kernel takes pages as large, which in a virtual machine the
/// host may first have to bring: 64 objects of 4 MiB then took a second, in pieces of this size 0.4 s.
const WRITE_BYTES: usize = 256 << 10;

/// The same bytes, so that the store writes them piece by piece.
pub(super) fn in_pieces(mut bytes: Bytes) -> PutPayload {
    std::iter::from_fn(|| {
        let length = bytes.len().min(WRITE_BYTES);
        (length > 0).then(|| bytes.split_to(length))
    })
    .collect()
}

/// The bytes of `file` from `start` on, at most `length` of them.
pub(super) fn stream(
    file: std::fs::File,
    start: u64,
    length: u64,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let mut file = tokio::fs::File::from_std(file);
    let opened = async move {
        match file.seek(io::SeekFrom::Start(start)).await {
            Ok(_) => {
                ReaderStream::with_capacity(file.take(length), STREAM_CHUNK_BYTES).left_stream()
            }
            Err(error) => futures_util::stream::iter([Err(error)]).right_stream(),
        }
    };
    futures_util::stream::once(opened).flatten()
}

/// Does with a directory what may block.
pub(super) async fn on_disk(
    directory: PathBuf,
    work: impl FnOnce(&Path) -> io::Result<()> + Send + 'static,
) -> Result<(), BlobError> {
    let done = tokio::task::spawn_blocking({
        let directory = directory.clone();
        move || work(&directory)
    });
    let done = done
        .await
        .unwrap_or_else(|ended| Err(io::Error::other(ended)));
    done.map_err(|source| BlobError::Open {
        path: directory,
        source,
    })
}

/// Removes the directory `path` and all in it, durably. That it is not there is no error.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Ok(()) => files::sync_dir(path.parent().unwrap_or(path)),
        // A file has nothing below it.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Removes the files that unfinished writes leave: the store writes `NAME#NUMBER` and renames it.
pub(super) fn remove_staged(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            remove_staged(&entry.path())?;
        } else if kind.is_file() && is_staged(&entry.file_name()) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn is_staged(name: &std::ffi::OsStr) -> bool {
    let Some((_, number)) = name.to_str().and_then(|name| name.rsplit_once('#')) else {
        return false;
    };
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}
