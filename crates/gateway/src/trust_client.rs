//! What this gateway asks of trust: one method for each interface of docs/protocol.md that a
//! gateway uses.

use bytes::Bytes;
use harpo_protocol::deposit::{DepositRequest, DepositStatus, Receipt};
use harpo_protocol::id::{BundleId, Nonce};
use harpo_protocol::identity::{CertificateChain, CertificateRequest, TrustInfo};
use harpo_protocol::manifest::MAX_MANIFEST_BYTES;
use harpo_protocol::release::{Notice, Release, ReleaseRequest};
use harpo_protocol::rounds::Round;
use harpo_protocol::search::{LocateRequest, LocateResponse, SearchRequest, SearchResponse};
use harpo_protocol::sign::Signed;
use harpo_protocol::stack::StackDescriptor;
use harpo_service::http::{Client, ClientError};

const SMALL: usize = 1 << 20;
/// A release carries a manifest and, wrapped, a place and a key for every fragment.
const RELEASE: usize = 4 * MAX_MANIFEST_BYTES;

/// See the module.
#[derive(Clone, Debug)]
pub struct TrustClient {
    http: Client,
}

impl TrustClient {
    /// On a connection that shows this gateway's certificate and expects trust's.
    pub fn new(http: Client) -> Self {
        Self { http }
    }

    /// Protocol 2.6.
    pub async fn pass(&self, certificate_request: String) -> Result<String, ClientError> {
        let request = CertificateRequest {
            certificate_request,
            server_names: Vec::new(),
        };
        let answer: CertificateChain = self
            .http
            .post("/v1/passes")
            .json(&request)
            .send_json(SMALL)
            .await?;
        Ok(answer.chain)
    }

    /// Protocol 2.7.
    pub async fn info(&self) -> Result<Signed<TrustInfo>, ClientError> {
        self.http.get("/v1/info").send_json(SMALL).await
    }

    /// Protocol 4.1.
    pub async fn deposit(&self, request: &DepositRequest) -> Result<DepositStatus, ClientError> {
        self.http
            .post("/v1/deposits")
            .json(request)
            .send_json(RELEASE)
            .await
    }

    /// Protocol 4.2.
    pub async fn put_fragment(
        &self,
        bundle: BundleId,
        index: u32,
        fragment: Bytes,
    ) -> Result<(), ClientError> {
        let path = format!("/v1/deposits/{bundle}/fragments/{index}");
        self.http.put(&path).bytes(fragment).send().await.map(drop)
    }

    /// Protocol 4.3.
    pub async fn complete(&self, bundle: BundleId) -> Result<Signed<Receipt>, ClientError> {
        let path = format!("/v1/deposits/{bundle}/complete");
        self.http.post(&path).send_json(SMALL).await
    }

    /// Protocol 7.1.
    pub async fn stacks(&self) -> Result<Vec<Signed<StackDescriptor>>, ClientError> {
        self.http.get("/v1/stacks").send_json(RELEASE).await
    }

    /// Protocol 8.2.
    pub async fn search(&self, request: &SearchRequest) -> Result<SearchResponse, ClientError> {
        self.http
            .post("/v1/search")
            .json(request)
            .send_json(MAX_MANIFEST_BYTES)
            .await
    }

    /// Protocol 8.3.
    pub async fn locate(&self, request: &LocateRequest) -> Result<LocateResponse, ClientError> {
        self.http
            .post("/v1/locate")
            .json(request)
            .send_json(MAX_MANIFEST_BYTES)
            .await
    }

    /// Protocol 8.4.
    pub async fn release(&self, request: &ReleaseRequest) -> Result<Release, ClientError> {
        self.http
            .post("/v1/releases")
            .json(request)
            .send_json(RELEASE)
            .await
    }

    /// Protocol 8.5.
    pub async fn cached_fragment(
        &self,
        bundle: BundleId,
        index: u32,
        grant: Nonce,
        limit: usize,
    ) -> Result<Bytes, ClientError> {
        let path = format!("/v1/bundles/{bundle}/fragments/{index}");
        self.http
            .get(&path)
            .query(&[("grant", grant.to_string())])
            .send_bytes(limit)
            .await
    }

    /// Protocol 9.7.
    pub async fn round(&self) -> Result<Round, ClientError> {
        self.http
            .post("/v1/rounds")
            .json(&serde_json::json!({}))
            .send_json(RELEASE)
            .await
    }

    /// Protocol 5.7: a fragment that was read.
    pub async fn put_replacement(
        &self,
        bundle: BundleId,
        index: u32,
        grant: Nonce,
        fragment: Bytes,
    ) -> Result<(), ClientError> {
        let path = format!("/v1/replacements/{bundle}/fragments/{index}");
        self.http
            .put(&path)
            .query(&[("grant", grant.to_string())])
            .bytes(fragment)
            .send()
            .await
            .map(drop)
    }

    /// Protocol 5.7: all fragments were given back.
    pub async fn replaced(&self, bundle: BundleId, grant: Nonce) -> Result<(), ClientError> {
        self.http
            .post(&format!("/v1/replacements/{bundle}"))
            .query(&[("grant", grant.to_string())])
            .send()
            .await
            .map(drop)
    }

    /// Protocol 8.7.
    pub async fn notices(&self, after: u64) -> Result<Vec<Notice>, ClientError> {
        self.http
            .get("/v1/notices")
            .query(&[("after", after)])
            .send_json(MAX_MANIFEST_BYTES)
            .await
    }
}
