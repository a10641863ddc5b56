//! What a user of a hospital does: asks the gateway of that hospital over DICOMweb.

use std::io::{Cursor, Read as _};

use anyhow::{Context as _, Result, bail};
use futures_util::StreamExt as _;
use harpo_gateway::status::{GenerationRow, Status};
use harpo_gateway::store::FetchRow;
use harpo_protocol::access::Purpose;
use harpo_service::http::{Client, ClientError, Request, Response};
use http::{HeaderName, HeaderValue, header};
use zip::ZipArchive;

use super::network::Hospital;

/// Says why somebody asks.
const PURPOSE: HeaderName = HeaderName::from_static("x-purpose-of-use");
/// Largest answer with figures.
const SMALL: usize = 1 << 20;
/// Largest study that the demo holds in memory.
const LARGEST: usize = 4 << 30;

/// A user at a hospital.
pub(crate) struct Visitor {
    client: Client,
    authorization: HeaderValue,
}

impl Visitor {
    /// The hospital's own user.
    pub(crate) fn new(hospital: &Hospital) -> Result<Self> {
        Ok(Self {
            client: Client::plain(&format!("http://{}", hospital.web))?,
            authorization: HeaderValue::try_from(format!("Bearer {}", hospital.token))?,
        })
    }

    /// What the gateway says of itself.
    pub(crate) async fn status(&self) -> Result<Status> {
        Ok(self.get("/api/status").send_json(SMALL).await?)
    }

    /// The public figures of the generations that its queries cover.
    pub(crate) async fn stack(&self) -> Result<Vec<GenerationRow>> {
        Ok(self.get("/api/stack").send_json(SMALL).await?)
    }

    /// What its fetches cost, those that go on first, then newest first.
    pub(crate) async fn fetches(&self) -> Result<Vec<FetchRow>> {
        Ok(self.get("/api/fetches").send_json(SMALL).await?)
    }

    /// Every instance of a study, as a zip download brings it.
    pub(crate) async fn study(
        &self,
        study: &str,
        progress: impl FnMut(u64),
    ) -> Result<Vec<Vec<u8>>> {
        let response = self
            .zip(study)
            .send()
            .await
            .with_context(|| format!("fetching study {study}"))?;
        unzip(response, progress)
            .await
            .with_context(|| format!("reading study {study}"))
    }

    /// The same for another purpose than treatment: the files, or why they may not leave.
    pub(crate) async fn export(
        &self,
        study: &str,
        purpose: Purpose,
    ) -> Result<Result<Vec<Vec<u8>>, String>> {
        let purpose = HeaderValue::from_static(purpose.code());
        let request = self.zip(study).header(PURPOSE, purpose);
        match request.send().await {
            Ok(response) => Ok(Ok(unzip(response, |_| {}).await?)),
            Err(ClientError::Refused { message, .. }) => Ok(Err(message)),
            Err(error) => Err(error.into()),
        }
    }

    fn zip(&self, study: &str) -> Request {
        self.get(&format!("/dicom-web/studies/{study}"))
            .header(header::ACCEPT, HeaderValue::from_static("application/zip"))
    }

    fn get(&self, path: &str) -> Request {
        self.client
            .get(path)
            .header(header::AUTHORIZATION, self.authorization.clone())
    }
}

async fn unzip(response: Response, mut progress: impl FnMut(u64)) -> Result<Vec<Vec<u8>>> {
    let mut stream = response.stream();
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        let piece = piece?;
        if bytes.len() + piece.len() > LARGEST {
            bail!("it is larger than the demo takes");
        }
        progress(piece.len() as u64);
        bytes.extend_from_slice(&piece);
    }
    let mut archive = ZipArchive::new(Cursor::new(bytes))?;
    (0..archive.len())
        .map(|index| {
            let mut file = Vec::new();
            archive.by_index(index)?.read_to_end(&mut file)?;
            Ok(file)
        })
        .collect()
}
