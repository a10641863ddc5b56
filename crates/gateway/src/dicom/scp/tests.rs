use std::path::PathBuf;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::dicom::scu::{self, Peer, ScuError, SendError};
use crate::dicom::testing::Sample;
use crate::dicom::{dimse::status, part10, uid};

const NOW: u64 = 1_750_000_000_000;

struct Running {
    spool: Arc<Spool>,
    dir: tempfile::TempDir,
    peer: Peer,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

async fn start(change: impl FnOnce(&mut ScpConfig)) -> Running {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(&dir.path().join("spool")).unwrap();
    let mut config = ScpConfig::default();
    change(&mut config);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let scp = Scp::new(config, Arc::clone(&spool), Arc::new(|| NOW));
    let task = tokio::spawn(scp.serve(listener, stop.clone()));
    let peer = Peer {
        address,
        calling_ae_title: "TESTSCU".into(),
        called_ae_title: "HARPOCRATES".into(),
        timeout: Duration::from_secs(20),
    };
    Running {
        spool,
        dir,
        peer,
        stop,
        task,
    }
}

impl Running {
    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(10), self.task)
            .await
            .unwrap()
            .unwrap();
    }
}

fn sample(n: u32) -> Sample {
    Sample {
        instance: format!("1.2.3.{n}"),
        number: n,
        ..Sample::default()
    }
}

fn statuses(sent: &[scu::Sent]) -> Vec<u16> {
    sent.iter()
        .map(|s| match &s.result {
            Ok(()) => 0,
            Err(SendError::Refused { status, .. }) => *status,
            Err(error) => panic!("{error}"),
        })
        .collect()
}

#[tokio::test]
async fn echoes_and_stores_byte_for_byte() {
    let running = start(|_| {}).await;
    scu::echo(&running.peer).await.unwrap();
    let files: Vec<_> = (1..=5)
        .map(|n| running.write(&format!("{n}.dcm"), &sample(n).file()))
        .collect();
    let mut seen = 0;
    let sent = scu::send(&running.peer, &files, |_| seen += 1)
        .await
        .unwrap();
    assert_eq!((statuses(&sent), seen), (vec![0; 5], 5));
    running.spool.close("1.2.3.1", "b").unwrap();
    let bundle = running.spool.bundle("b").unwrap();
    assert_eq!(bundle.instances.len(), 5);
    for instance in &bundle.instances {
        let n = instance
            .header
            .sop_instance_uid
            .rsplit('.')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        let bytes = std::fs::read(&instance.path).unwrap();
        assert_eq!(
            &bytes[instance.header.dataset_offset as usize..],
            sample(n).dataset()
        );
        assert_eq!(
            instance.source,
            crate::spool::Source::AeTitle("TESTSCU".into())
        );
        assert_eq!(instance.received_ms, NOW);
    }
    running.stop().await;
}

/// The data set is compressed, private, big endian or deflated for all the provider knows.
#[tokio::test]
async fn every_transfer_syntax_is_taken_as_it_is() {
    use dicom_transfer_syntax_registry::TransferSyntaxRegistry;
    let running = start(|_| {}).await;
    let mut files = Vec::new();
    for (n, syntax) in TransferSyntaxRegistry.iter().enumerate() {
        let instance = format!("1.2.9.{n}");
        let dataset = Sample {
            instance: instance.clone(),
            ..Sample::default()
        }
        .dataset();
        let ts = syntax.uid();
        let dataset = match ts {
            uid::IMPLICIT_LE | uid::EXPLICIT_BE => continue,
            ts if crate::dicom::inspect::is_deflated(ts) => {
                use std::io::Write as _;
                let mut encoder =
                    flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(&dataset).unwrap();
                encoder.finish().unwrap()
            }
            _ => dataset,
        };
        let meta = part10::meta("1.2.840.10008.5.1.4.1.1.2", &instance, ts);
        files.push(running.write(&format!("ts{n}.dcm"), &[meta, dataset].concat()));
    }
    // A private SOP class too.
    let mut private = sample(77).dataset();
    let at = private
        .windows(25)
        .position(|w| w == b"1.2.840.10008.5.1.4.1.1.2")
        .unwrap();
    private[at..at + 25].copy_from_slice(b"1.2.826.0.1.3680043.9.9.1");
    files.push(
        running.write(
            "private.dcm",
            &[
                part10::meta("1.2.826.0.1.3680043.9.9.1", "1.2.3.77", uid::EXPLICIT_LE),
                private,
            ]
            .concat(),
        ),
    );
    let sent = scu::send(&running.peer, &files, |_| {}).await.unwrap();
    assert!(sent.len() > 40);
    assert_eq!(statuses(&sent), vec![0; sent.len()]);
    running.stop().await;
}

#[tokio::test]
async fn refusals_have_their_statuses() {
    let running = start(|c| c.max_object_bytes = 100_000).await;
    let changed = Sample {
        pixels: vec![9; 32],
        ..sample(1)
    };
    let other_patient = Sample {
        patient: "P2".into(),
        ..sample(2)
    };
    let large = Sample {
        pixels: vec![0; 200_000],
        ..sample(3)
    };
    let first = [running.write("a", &sample(1).file())];
    scu::send(&running.peer, &first, |_| {}).await.unwrap();
    let files = [
        running.write("b", &sample(1).file()),
        running.write("c", &changed.file()),
        running.write("d", &other_patient.file()),
        running.write("e", &large.file()),
        running.write("f", &sample(4).file()),
    ];
    let sent = scu::send(&running.peer, &files, |_| {}).await.unwrap();
    let expected = [
        0,
        status::DUPLICATE,
        status::DOES_NOT_MATCH,
        status::OUT_OF_RESOURCES,
        0,
    ];
    assert_eq!(statuses(&sent), expected);
    match &sent[2].result {
        Err(SendError::Refused { comment, .. }) => {
            assert!(comment.contains("another patient"), "{comment}")
        }
        other => panic!("{other:?}"),
    }
    running.stop().await;
}

#[tokio::test]
async fn unreadable_files_are_reported_not_sent() {
    let running = start(|_| {}).await;
    let files = [
        running.write("x", b"no dicom"),
        running.write("y", &sample(1).file()),
    ];
    let sent = scu::send(&running.peer, &files, |_| {}).await.unwrap();
    assert!(matches!(sent[0].result, Err(SendError::Unreadable(_))));
    assert!(sent[1].result.is_ok());
    running.stop().await;
}

#[tokio::test]
async fn strangers_are_rejected() {
    let running = start(|c| c.calling_ae_titles = vec!["PACS".into()]).await;
    assert!(matches!(
        scu::echo(&running.peer).await,
        Err(ScuError::Rejected(_))
    ));
    let pacs = Peer {
        calling_ae_title: "PACS".into(),
        ..running.peer.clone()
    };
    scu::echo(&pacs).await.unwrap();
    let wrong = Peer {
        called_ae_title: "OTHER".into(),
        ..pacs
    };
    assert!(matches!(
        scu::echo(&wrong).await,
        Err(ScuError::Rejected(_))
    ));
    running.stop().await;
}

/// An association that is open and idle, by hand.
async fn open(address: std::net::SocketAddr) -> (tokio::net::TcpStream, u8) {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut request = Vec::new();
    dicom_ul::pdu::write_pdu(
        &mut request,
        &dicom_ul::Pdu::AssociationRQ(dicom_ul::pdu::AssociationRQ {
            protocol_version: 1,
            calling_ae_title: "TESTSCU".into(),
            called_ae_title: "HARPOCRATES".into(),
            application_context_name: uid::APPLICATION_CONTEXT.into(),
            presentation_contexts: vec![dicom_ul::pdu::PresentationContextProposed {
                id: 1,
                abstract_syntax: "1.2.840.10008.5.1.4.1.1.2".into(),
                transfer_syntaxes: vec![uid::EXPLICIT_LE.into()],
            }],
            user_variables: vec![],
        }),
    )
    .unwrap();
    stream.write_all(&request).await.unwrap();
    let mut head = [0; 6];
    stream.read_exact(&mut head).await.unwrap();
    let mut body = vec![0; u32::from_be_bytes(head[2..6].try_into().unwrap()) as usize];
    stream.read_exact(&mut body).await.unwrap();
    if head[0] == 3 {
        // Transient, presentation, local limit exceeded.
        assert_eq!(body, [0, 2, 3, 2]);
    }
    (stream, head[0])
}

#[tokio::test]
async fn sixteen_at_once_and_the_seventeenth_is_told_to_come_back() {
    let running = start(|_| {}).await;
    let mut held = Vec::new();
    for _ in 0..16 {
        let (stream, answer) = open(running.peer.address).await;
        assert_eq!(answer, 2);
        held.push(stream);
    }
    let (_stream, answer) = open(running.peer.address).await;
    assert_eq!(answer, 3);
    assert!(matches!(
        scu::echo(&running.peer).await,
        Err(ScuError::Rejected(_))
    ));
    held.pop();
    // The place is free as soon as the provider has seen the connection close.
    let mut again = scu::echo(&running.peer).await;
    for _ in 0..50 {
        if again.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        again = scu::echo(&running.peer).await;
    }
    again.unwrap();
    drop(held);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_senders_in_parallel() {
    let running = start(|_| {}).await;
    let mut tasks = Vec::new();
    for sender in 0..16u32 {
        let files: Vec<_> = (0..5)
            .map(|i| {
                let n = sender * 5 + i;
                running.write(&format!("{n}.dcm"), &sample(n).file())
            })
            .collect();
        let peer = running.peer.clone();
        tasks.push(tokio::spawn(async move {
            scu::send(&peer, &files, |_| {}).await.unwrap()
        }));
    }
    for task in tasks {
        assert_eq!(statuses(&task.await.unwrap()), vec![0; 5]);
    }
    assert_eq!(running.spool.open_studies()[0].instances, 80);
    running.stop().await;
}

#[tokio::test]
async fn many_contexts_take_several_associations() {
    let running = start(|_| {}).await;
    let files: Vec<_> = (0..130u32)
        .map(|n| {
            let class = format!("1.2.840.10008.5.1.4.1.1.{}", 5000 + n);
            let mut dataset = sample(n).dataset();
            let at = dataset.windows(2).position(|w| w == b"UI").unwrap();
            let old = 8 - 2 + 26;
            let value = [
                class.as_bytes(),
                if class.len() % 2 == 1 { b"\0" } else { b"" },
            ]
            .concat();
            let length = (value.len() as u16).to_le_bytes();
            dataset.splice(at + 2..at - 4 + 2 + old, [&length[..], &value].concat());
            let meta = part10::meta(&class, &sample(n).instance, uid::EXPLICIT_LE);
            running.write(&format!("{n}.dcm"), &[meta, dataset].concat())
        })
        .collect();
    let sent = scu::send(&running.peer, &files, |_| {}).await.unwrap();
    assert_eq!(statuses(&sent), vec![0; 130]);
    running.stop().await;
}

#[tokio::test]
async fn stopping_lets_the_message_in_flight_finish() {
    let running = start(|_| {}).await;
    let (mut stream, answer) = open(running.peer.address).await;
    assert_eq!(answer, 2);
    let command = crate::dicom::dimse::Command {
        field: crate::dicom::dimse::command::STORE_RQ,
        message_id: 3,
        has_dataset: true,
        sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".into(),
        sop_instance_uid: "1.2.3.1".into(),
        ..Default::default()
    };
    let dataset = sample(1).dataset();
    let pdv = |control: u8, bytes: &[u8]| {
        let length = bytes.len() as u32;
        [
            &[4u8, 0][..],
            &(length + 6).to_be_bytes(),
            &(length + 2).to_be_bytes(),
            &[1, control],
            bytes,
        ]
        .concat()
    };
    stream.write_all(&pdv(3, &command.write())).await.unwrap();
    stream.write_all(&pdv(0, &dataset[..100])).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    running.stop.cancel();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!running.task.is_finished());
    stream.write_all(&pdv(2, &dataset[100..])).await.unwrap();
    let mut answer = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        match stream.read(&mut chunk).await.unwrap() {
            0 => break,
            n => answer.extend_from_slice(&chunk[..n]),
        }
        // The response, and then an abort.
        if answer.len() >= 10 && answer[answer.len() - 10] == 7 {
            break;
        }
    }
    assert_eq!(answer[0], 4);
    drop(stream);
    assert_eq!(running.spool.open_studies()[0].instances, 1);
    running.stop().await;
}

#[tokio::test]
async fn nonsense_ends_the_association_and_nothing_else() {
    let running = start(|c| c.artim_timeout_seconds = 1).await;
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[1, 0, 0xFF, 0xFF, 0xFF, 0xFF],
        &[4, 0, 0, 0, 0, 0],
        &[1, 0, 0, 0, 0, 4, 0, 1, 0, 0],
    ] {
        let mut stream = tokio::net::TcpStream::connect(running.peer.address)
            .await
            .unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut rest = Vec::new();
        let closed =
            tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "{bytes:?} kept the connection open");
    }
    // A silent one is closed by ARTIM.
    let mut silent = tokio::net::TcpStream::connect(running.peer.address)
        .await
        .unwrap();
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(5), silent.read_to_end(&mut rest)).await;
    assert!(closed.is_ok());
    scu::echo(&running.peer).await.unwrap();
    running.stop().await;
}

#[test]
fn sample_configurations_are_read_strictly() {
    let config: ScpConfig =
        toml::from_str("listen = \"127.0.0.1:104\"\nae_titles = [\"X\"]").unwrap();
    assert_eq!(config.max_associations, 16);
    assert!(toml::from_str::<ScpConfig>("ae_title = \"X\"").is_err());
}

proptest::proptest! {
    /// Damaged association requests make no reader panic.
    #[test]
    fn damaged_requests_are_survived(at in 0usize..160, value: u8, cut in 0usize..200) {
        let mut request = Vec::new();
        dicom_ul::pdu::write_pdu(&mut request, &dicom_ul::Pdu::AssociationRQ(dicom_ul::pdu::AssociationRQ {
            protocol_version: 1,
            calling_ae_title: "A".into(),
            called_ae_title: "B".into(),
            application_context_name: uid::APPLICATION_CONTEXT.into(),
            presentation_contexts: vec![dicom_ul::pdu::PresentationContextProposed {
                id: 1,
                abstract_syntax: "1.2.840.10008.1.1".into(),
                transfer_syntaxes: vec![uid::IMPLICIT_LE.into()],
            }],
            user_variables: vec![
                dicom_ul::pdu::UserVariableItem::MaxLength(1),
                dicom_ul::pdu::UserVariableItem::ImplementationClassUID("1.2".into()),
            ],
        })).unwrap();
        let at = at.min(request.len() - 1);
        request[at] = value;
        request.truncate(request.len().saturating_sub(cut % 8));
        if let Ok(Some(dicom_ul::Pdu::AssociationRQ(request))) =
            dicom_ul::pdu::read_pdu(&request[..], 262_144, true)
        {
            let _ = negotiate::decide(&ScpConfig::default(), &request);
        }
    }
}
