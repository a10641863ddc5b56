//! What trust's stand-in says and takes of stacks.

use super::*;

/// Trust's interfaces that are about stacks.
pub(in super::super) fn routes() -> Router<Arc<Desk>> {
    Router::new()
        .route("/v1/passes", post(pass))
        .route("/v1/locate", post(locate))
        .route("/v1/rounds", post(round))
        .route(
            "/v1/replacements/{bundle}/fragments/{index}",
            axum::routing::put(give),
        )
        .route("/v1/replacements/{bundle}", post(replaced))
        .layer(DefaultBodyLimit::disable())
}

async fn pass(
    State(desk): State<Arc<Desk>>,
    Json(request): Json<CertificateRequest>,
) -> Answer<CertificateChain> {
    let subject = Subject {
        role: Role::Pass,
        party: PartyId::random(&mut harpo_service::random::system()),
        server_names: Vec::new(),
    };
    let csr = &request.certificate_request;
    let now = desk.clock.now();
    let chain = desk.authority.issue(csr, &subject, LASTING, now).unwrap();
    Ok(Json(CertificateChain { chain }))
}

async fn locate(
    State(desk): State<Arc<Desk>>,
    Json(request): Json<LocateRequest>,
) -> Answer<LocateResponse> {
    let stacks = desk.stacks.get().unwrap();
    let of = |stored: &&Stored| stored.study == request.study_instance_uid;
    let found = stacks.bundles.iter().filter(|(_, stored)| of(stored));
    let bundles = found.map(|(bundle, stored)| Located {
        bundle: *bundle,
        origin: PartyId([3; 16]),
        instances: stored.originals.len() as u32,
    });
    Ok(Json(LocateResponse {
        bundles: bundles.collect(),
    }))
}

/// A permit for whoever asks.
pub(in super::super) fn release(desk: &Desk, stacks: &Stacks, request: &ReleaseRequest) -> Release {
    let stored = &stacks.bundles[&request.bundle];
    let asked = (request.bundle, request.requester.clone());
    lock(&stacks.released).push(asked);
    let access = (!request.held).then(|| {
        let grant = Nonce([request.bundle.0[0]; 16]);
        let secrets = Secrets {
            content_key: stored.content_key.clone(),
            placements: stored.placements(),
        };
        let tickets = classes(stored.slots() as u32).into_iter();
        Access {
            grant,
            secrets: secrets
                .wrap(
                    request.bundle,
                    grant,
                    &to(desk),
                    &mut harpo_service::random::system(),
                )
                .unwrap(),
            source: release::Source::Stack {
                stack: stacks.stacks[stored.stack].descriptor.clone(),
                tickets: tickets
                    .map(|queries| stacks.ticket(desk, stored.stack, queries))
                    .collect(),
            },
            give_back: *lock(&stacks.give_back),
        }
    });
    Release {
        bundle: request.bundle,
        manifest: stored.manifest.clone(),
        origin: stacks.origin.clone(),
        obligations: Vec::new(),
        access,
    }
}

fn to(desk: &Desk) -> SealingKey {
    lock(&desk.enrolled).clone().unwrap().sealing
}

async fn round(State(desk): State<Arc<Desk>>) -> Answer<Round> {
    let stacks = desk.stacks.get().unwrap();
    let Some(rule) = *lock(&stacks.rule) else {
        return Err(ApiError::conflict("at_once", "there are no rounds"));
    };
    let now = desk.clock.now().0 - lock(&stacks.behind).as_millis() as u64;
    let number = rule.number(Timestamp(now));
    if let Some(round) = lock(&stacks.rounds).get(&number) {
        return Ok(Json(round.clone()));
    }
    let stack = stack_of(number, stacks.stacks.len()).unwrap();
    let mut errands = lock(&stacks.errands);
    let fits = errands
        .iter()
        .position(|bundle| stacks.bundles[bundle].stack == stack);
    let errand = fits.and_then(|at| errands.remove(at)).map(|bundle| {
        let grant = Nonce([bundle.0[0]; 16]);
        let secrets = ErrandSecrets {
            placements: stacks.bundles[&bundle].placements(),
        };
        let mut rng = harpo_service::random::system();
        Errand {
            bundle,
            grant,
            secrets: secrets.wrap(bundle, grant, &to(&desk), &mut rng).unwrap(),
        }
    });
    let round = Round {
        number,
        stack: Some(RoundStack {
            stack: stacks.stacks[stack].descriptor.clone(),
            ticket: stacks.ticket(&desk, stack, rule.queries),
        }),
        errand,
    };
    lock(&stacks.rounds).insert(number, round.clone());
    Ok(Json(round))
}

fn granted(bundle: &str, query: &HashMap<String, String>) -> BundleId {
    let bundle: BundleId = bundle.parse().unwrap();
    let grant: Nonce = query["grant"].parse().unwrap();
    assert_eq!(grant, Nonce([bundle.0[0]; 16]));
    bundle
}

async fn give(
    State(desk): State<Arc<Desk>>,
    Path((bundle, index)): Path<(String, u32)>,
    Query(query): Query<HashMap<String, String>>,
    bytes: Bytes,
) -> StatusCode {
    let bundle = granted(&bundle, &query);
    let stacks = desk.stacks.get().unwrap();
    let mut given = lock(&stacks.given);
    given
        .entry(bundle)
        .or_default()
        .insert(index, bytes.to_vec());
    StatusCode::NO_CONTENT
}

async fn replaced(
    State(desk): State<Arc<Desk>>,
    Path(bundle): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> StatusCode {
    let bundle = granted(&bundle, &query);
    let stacks = desk.stacks.get().unwrap();
    lock(&stacks.replaced).push(bundle);
    StatusCode::NO_CONTENT
}
