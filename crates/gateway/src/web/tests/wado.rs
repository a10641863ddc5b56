//! Retrieving: originals, zip, metadata, frames.

use super::*;

#[tokio::test]
async fn wado_hands_out_originals() {
    let fixture = plain(&[
        sample(1),
        sample(2),
        Sample {
            series: "1.9".into(),
            ..sample(3)
        },
    ]);
    let accept = "multipart/related; type=\"application/dicom\"; transfer-syntax=*";
    let study = parts(fixture.get("/dicom-web/studies/1.2.3.1", accept).await).await;
    let contents: Vec<_> = study.into_iter().map(|(_, c)| c).collect();
    assert_eq!(contents.len(), 3);
    assert_eq!(contents[0], sample(1).file());
    let series = parts(
        fixture
            .get("/dicom-web/studies/1.2.3.1/series/1.2.3.2", "*/*")
            .await,
    )
    .await;
    assert_eq!(series.len(), 2);
    let path = "/dicom-web/studies/1.2.3.1/series/1.2.3.2/instances/1.2.3.2";
    let one = fixture.get(path, "application/dicom").await;
    assert_eq!(one.headers()[header::CONTENT_TYPE], "application/dicom");
    assert_eq!(bytes(one).await, sample(2).file());
    let syntax =
        |ts: &str| format!("multipart/related; type=application/dicom; transfer-syntax={ts}");
    assert_eq!(
        fixture
            .get(path, &syntax("1.2.840.10008.1.2.1"))
            .await
            .status(),
        StatusCode::OK
    );
    let other = fixture.get(path, &syntax("1.2.840.10008.1.2.4.50")).await;
    assert_eq!(other.status(), StatusCode::NOT_ACCEPTABLE);
    let image = fixture.get(path, "image/png").await;
    assert_eq!(image.status(), StatusCode::NOT_ACCEPTABLE);
    assert_eq!(
        fixture.get("/dicom-web/studies/9.9", "*/*").await.status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        fixture.get("/dicom-web/studies/x", "*/*").await.status(),
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn zip_holds_everything_under_plain_names() {
    let fixture = plain(&[
        sample(1),
        sample(2),
        Sample {
            instance: "1.7".into(),
            ..sample(2)
        },
    ]);
    let response = fixture
        .get(
            "/dicom-web/studies/1.2.3.1?accept=application/zip",
            "text/html",
        )
        .await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/zip");
    let mut archive = ::zip::ZipArchive::new(Cursor::new(bytes(response).await)).unwrap();
    let names: Vec<_> = archive.file_names().map(str::to_owned).collect();
    assert_eq!(
        names,
        [
            "series-000-CT/00001.dcm",
            "series-000-CT/00002.dcm",
            "series-000-CT/00002-2.dcm"
        ]
    );
    let mut content = Vec::new();
    archive
        .by_name("series-000-CT/00002.dcm")
        .unwrap()
        .read_to_end(&mut content)
        .unwrap();
    assert_eq!(content, sample(2).file());
}

#[tokio::test]
async fn metadata_has_everything_but_pixels() {
    let fixture = plain(&[sample(1), sample(2)]);
    let rows = json_of(
        fixture
            .get(
                "/dicom-web/studies/1.2.3.1/metadata",
                "application/dicom+json",
            )
            .await,
    )
    .await;
    assert_eq!(rows.as_array().unwrap().len(), 2);
    assert_eq!(rows[1]["00080018"]["Value"][0], "1.2.3.2");
    assert_eq!(
        rows[0]["00100010"],
        json!({"vr": "PN", "Value": [{"Alphabetic": "Müller^Eva"}]})
    );
    assert_eq!(rows[0]["00280100"], json!({"vr": "US", "Value": [16]}));
    assert!(rows[0].get("7FE00010").is_none());
    assert_eq!(rows[0]["00083002"]["Value"][0], "1.2.840.10008.1.2.1");
}

#[tokio::test]
async fn frames_come_as_they_are_stored() {
    let pixels: Vec<u8> = (0..32).collect();
    let fixture = plain(&[Sample {
        pixels: pixels.clone(),
        ..sample(1)
    }]);
    let path = "/dicom-web/studies/1.2.3.1/series/1.2.3.2/instances/1.2.3.1/frames/";
    let viewer = "multipart/related; type=application/octet-stream; transfer-syntax=*";
    let got = parts(fixture.get(&format!("{path}1"), viewer).await).await;
    assert_eq!(got.len(), 1);
    assert_eq!(
        got[0].0,
        "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"
    );
    assert_eq!(got[0].1, pixels);
    let alone = fixture
        .get(&format!("{path}1"), "application/octet-stream")
        .await;
    assert_eq!(bytes(alone).await, pixels);
    assert_eq!(
        fixture.get(&format!("{path}2"), viewer).await.status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        fixture.get(&format!("{path}0"), viewer).await.status(),
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        fixture.get(&format!("{path}a"), viewer).await.status(),
        StatusCode::BAD_REQUEST
    );
    let jpeg = fixture
        .get(
            &format!("{path}1"),
            "multipart/related; type=\"image/jpeg\"",
        )
        .await;
    assert_eq!(jpeg.status(), StatusCode::NOT_ACCEPTABLE);
}

#[tokio::test]
async fn compressed_frames_name_their_type() {
    let ts = "1.2.840.10008.1.2.4.50";
    let mut dataset = sample(1).dataset();
    dataset.truncate(dataset.len() - 44);
    let fragments = [
        &[0xE0, 0x7F, 0x10, 0x00][..],
        b"OB\0\0\xFF\xFF\xFF\xFF",
        b"\xFE\xFF\x00\xE0\0\0\0\0",
        b"\xFE\xFF\x00\xE0\x04\0\0\0\xFF\xD8ab",
        b"\xFE\xFF\xDD\xE0\0\0\0\0",
    ]
    .concat();
    let file = [
        part10::meta("1.2.840.10008.5.1.4.1.1.2", "1.2.3.1", ts),
        dataset,
        fragments,
    ]
    .concat();
    let fixture = fixture(&[file], |_, _| {});
    let path = "/dicom-web/studies/1.2.3.1/series/1.2.3.2/instances/1.2.3.1/frames/1";
    let got = parts(
        fixture
            .get(path, "multipart/related; type=\"image/jpeg\"")
            .await,
    )
    .await;
    assert_eq!(
        got,
        [(
            "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50".into(),
            b"\xFF\xD8ab".to_vec()
        )]
    );
    let native =
        "multipart/related; type=\"application/octet-stream\"; transfer-syntax=1.2.840.10008.1.2.1";
    assert_eq!(
        fixture.get(path, native).await.status(),
        StatusCode::NOT_ACCEPTABLE
    );
}

#[tokio::test]
async fn frames_are_exact_and_what_is_taken_away_is_marked_and_noted() {
    let original = crate::content::export::tests::slice(128);
    let study = inspect(&original, &Limits::default())
        .unwrap()
        .study_instance_uid;
    let path = format!("/dicom-web/studies/{study}");
    let mark = Arc::new(Tracing::new(&[1; 32], harpo_protocol::id::Digest([2; 32])));
    let mut expected = original.clone();
    mark.mark(&mut expected).unwrap();
    let whole = "multipart/related; type=application/dicom; transfer-syntax=*";
    for leave in [false, true] {
        let fixture = fixture(std::slice::from_ref(&original), |memory, _| {
            memory.mark = Some(mark.clone());
            memory.instances_leave = leave;
        });
        let taken = bytes(fixture.get(&path, "application/zip").await).await;
        let mut archive = ::zip::ZipArchive::new(Cursor::new(taken)).unwrap();
        let mut file = Vec::new();
        archive.by_index(0).unwrap().read_to_end(&mut file).unwrap();
        assert!(file == expected);
        let shown = parts(fixture.get(&path, whole).await).await;
        // A whole file can be kept: where the permit demands marks, it carries them whatever the hospital says.
        assert!(shown[0].1 == expected[..]);
        let exports = || fixture.memory.exports.load(Ordering::Relaxed);
        assert_eq!(exports(), 2);
        // What is refused, or only asked about, is no export.
        let jpeg =
            "multipart/related; type=application/dicom; transfer-syntax=1.2.840.10008.1.2.4.50";
        let refused = fixture.get(&path, jpeg).await;
        assert_eq!(refused.status(), StatusCode::NOT_ACCEPTABLE);
        let head = Request::head(&path)
            .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
            .header(header::ACCEPT, "application/zip")
            .body(Body::empty())
            .unwrap();
        assert_eq!(fixture.send(head).await.status(), StatusCode::OK);
        assert_eq!(exports(), 2);
    }
    // Without the obligation what is shown is exact, and no export unless the hospital says so.
    for leave in [false, true] {
        let fixture = fixture(std::slice::from_ref(&original), |memory, _| {
            memory.instances_leave = leave;
        });
        let shown = parts(fixture.get(&path, whole).await).await;
        assert!(shown[0].1 == original[..]);
        let exports = fixture.memory.exports.load(Ordering::Relaxed);
        assert_eq!(exports, usize::from(leave));
    }
    // One that cannot be marked: nothing leaves.
    let fixture = fixture(&[sample(1).file()], |memory, _| {
        memory.mark = Some(mark.clone());
    });
    let answer = fixture
        .get("/dicom-web/studies/1.2.3.1", "application/zip")
        .await;
    assert_eq!(answer.status(), StatusCode::CONFLICT);
    let body = json_of(answer).await;
    assert_eq!(body["error"]["code"], "untraceable");
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains("1.2.3.1"), "{message}");
    let shown = fixture.get("/dicom-web/studies/1.2.3.1", whole).await;
    assert_eq!(shown.status(), StatusCode::CONFLICT);
}
