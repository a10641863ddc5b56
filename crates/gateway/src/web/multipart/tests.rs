use std::convert::Infallible;

use futures_util::stream;
use proptest::prelude::*;

use super::*;

type Parts = Vec<(Head, Vec<u8>)>;

fn read(body: &[u8], boundary: &str, piece: usize, limit: u64) -> Result<Parts, MultipartError> {
    let pieces: Vec<Result<Bytes, Infallible>> = body
        .chunks(piece.max(1))
        .map(|c| Ok(Bytes::copy_from_slice(c)))
        .collect();
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(async {
            let mut multipart = Multipart::new(stream::iter(pieces), boundary, limit)?;
            let mut parts = Vec::new();
            while let Some(head) = multipart.next().await? {
                let mut content = Vec::new();
                while let Some(chunk) = multipart.chunk().await? {
                    content.extend_from_slice(&chunk);
                }
                parts.push((head, content));
            }
            Ok(parts)
        })
}

fn write(parts: &[Vec<u8>], boundary: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for part in parts {
        body.extend_from_slice(
            format!("--{boundary}\r\nContent-Type: application/dicom\r\n\r\n").as_bytes(),
        );
        body.extend_from_slice(part);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    body
}

#[test]
fn preamble_padding_empty_heads_and_epilogue() {
    let body = b"preamble\r\n--b  \r\nX: y\r\nCONTENT-type:  a/b; c=d \r\n\r\none\r\n--b\r\n\r\n\r\n--b\r\n\r\n--bx\r\n--b--\r\nepilogue";
    let parts = read(body, "b", 3, 1000).unwrap();
    assert_eq!(parts.len(), 3);
    assert_eq!(parts[0].0.content_type.as_deref(), Some("a/b; c=d"));
    assert_eq!(parts[0].1, b"one");
    assert_eq!(parts[1], (Head::default(), b"".to_vec()));
    assert_eq!(parts[2], (Head::default(), b"--bx".to_vec()));
}

#[test]
fn refusals() {
    let body = write(&[b"content".to_vec()], "b");
    for end in 0..body.len() - 4 {
        assert!(
            matches!(
                read(&body[..end], "b", 7, 1000),
                Err(MultipartError::Truncated)
            ),
            "{end}"
        );
    }
    assert!(matches!(
        read(&body, "b", 7, 20),
        Err(MultipartError::TooLarge { limit: 20 })
    ));
    let long = [b"--b\r\nX: ".to_vec(), vec![b'x'; 40_000]].concat();
    assert!(matches!(
        read(&long, "b", 1000, 1 << 20),
        Err(MultipartError::BadHead)
    ));
    assert!(matches!(
        read(b"--b\r\nnonsense\r\n\r\n\r\n--b--", "b", 9, 100),
        Err(MultipartError::BadHead)
    ));
    for boundary in ["", "a\r\nb", "é", &"x".repeat(71), "a "] {
        assert!(
            matches!(read(b"", boundary, 1, 1), Err(MultipartError::BadBoundary)),
            "{boundary}"
        );
    }
}

proptest! {
    /// Whatever the parts hold and however the body is cut, the parts come back.
    #[test]
    fn parts_come_back(
        parts in proptest::collection::vec(
            proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), Just(b'b'), any::<u8>()], 0..60),
            0..5,
        ),
        piece in 1usize..20,
    ) {
        let boundary = "bb-b";
        prop_assume!(parts.iter().all(|p| {
            let mut framed = b"\r\n".to_vec();
            framed.extend_from_slice(p);
            memmem::find(&framed, b"\r\n--bb-b").is_none()
        }));
        let read = read(&write(&parts, boundary), boundary, piece, 1 << 20).unwrap();
        let contents: Vec<Vec<u8>> = read.into_iter().map(|(_, c)| c).collect();
        prop_assert_eq!(contents, parts);
    }

    #[test]
    fn any_bytes_are_survived(
        body in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), Just(b'b'), any::<u8>()], 0..200),
        piece in 1usize..50,
    ) {
        let _ = read(&body, "b", piece, 150);
    }
}
