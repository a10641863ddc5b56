use super::*;

struct Fixed;
impl rand_core::TryRng for Fixed {
    type Error = std::convert::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(4)
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(4)
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        out.fill(4);
        Ok(())
    }
}
impl rand_core::TryCryptoRng for Fixed {}

fn user(name: &str, password: Option<&str>, token: Option<&str>) -> UserConfig {
    UserConfig {
        name: name.into(),
        role: "physician".into(),
        password_hash: password.map(|p| hash_password(p, &mut Fixed).unwrap()),
        token_sha256: token.map(token_sha256),
    }
}

fn headers(authorization: &str, purpose: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
    if let Some(purpose) = purpose {
        headers.insert(PURPOSE, purpose.parse().unwrap());
    }
    headers
}

fn basic(pair: &str) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

#[tokio::test]
async fn passwords_and_tokens() {
    let users = Users::new(vec![
        user("eva", Some("geheim:1"), None),
        user("pacs", None, Some("0123456789abcdef0123456789abcdef")),
    ])
    .unwrap();
    let ask = async |authorization: &str| users.requester(&headers(authorization, None), 0).await;
    assert_eq!(ask(&basic("eva:geheim:1")).await.unwrap().user, "eva");
    assert_eq!(
        ask(&basic("eva:geheim:1")).await.unwrap().purpose,
        Purpose::Treat
    );
    let token = "bearer 0123456789abcdef0123456789abcdef";
    assert_eq!(ask(token).await.unwrap().user, "pacs");
    let as_password = |user| basic(&format!("{user}:0123456789abcdef0123456789abcdef"));
    assert_eq!(ask(&as_password("pacs")).await.unwrap().user, "pacs");
    assert!(
        ask(&as_password("eva")).await.is_err(),
        "another user's token"
    );
    for wrong in [
        basic("eva:geheim"),
        basic("eve:geheim:1"),
        basic("pacs:"),
        basic("eva"),
        "Bearer x".into(),
        "Basic ???".into(),
        "Digest x".into(),
        format!("Bearer {}", "x".repeat(5000)),
    ] {
        assert_eq!(
            ask(&wrong).await.unwrap_err().status,
            StatusCode::UNAUTHORIZED,
            "{wrong}"
        );
    }
    assert!(users.requester(&HeaderMap::new(), 0).await.is_err());
}

#[tokio::test]
async fn purposes() {
    let users = Users::new(vec![user("pacs", None, Some("t"))]).unwrap();
    let ask = async |p: &str| users.requester(&headers("Bearer t", Some(p)), 0).await;
    assert_eq!(ask("BTG").await.unwrap().purpose, Purpose::Btg);
    assert_eq!(
        ask("FUN").await.unwrap_err().status,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn a_remembered_password_is_forgotten_in_time() {
    let users = Users::new(vec![user("eva", Some("x"), None)]).unwrap();
    users
        .requester(&headers(&basic("eva:x"), None), 1000)
        .await
        .unwrap();
    let hash = hash_password("x", &mut Fixed).unwrap();
    let tag = users.tag("eva", &hash, "x");
    assert!(users.remembered(&tag, 1000 + REMEMBERED_MS - 1));
    assert!(!users.remembered(&tag, 1000 + REMEMBERED_MS));
    assert!(!users.remembered(&users.tag("ev", &format!("a{hash}"), "x"), 1000));
}

#[test]
fn lists_are_checked() {
    let bad_hash = UserConfig {
        password_hash: Some("geheim".into()),
        ..user("a", None, None)
    };
    let bad_token = UserConfig {
        token_sha256: Some("00".into()),
        ..user("a", None, None)
    };
    assert!(matches!(
        Users::new(vec![bad_hash]),
        Err(UsersError::BadHash(_))
    ));
    assert!(matches!(
        Users::new(vec![bad_token]),
        Err(UsersError::BadToken(_))
    ));
    assert!(matches!(
        Users::new(vec![user("a", None, None)]),
        Err(UsersError::NoCredential(_))
    ));
    for name in ["", "a:b", &"x".repeat(49)] {
        assert!(matches!(
            Users::new(vec![user(name, None, Some("t"))]),
            Err(UsersError::BadName(_))
        ));
    }
    let twice = vec![user("a", None, Some("t")), user("a", None, Some("u"))];
    assert!(matches!(Users::new(twice), Err(UsersError::BadName(_))));
}

#[tokio::test]
async fn a_new_list_holds_from_the_next_request_on() {
    let users = Users::new(vec![
        user("eva", Some("first password"), None),
        user("pacs", None, Some("t")),
    ])
    .unwrap();
    let ask =
        async |authorization: String| users.requester(&headers(&authorization, None), 0).await;
    let first = basic("eva:first password");
    assert!(ask(first.clone()).await.is_ok(), "and is remembered");
    let twice = vec![user("eva", Some("x"), None), user("eva", Some("x"), None)];
    assert!(users.replace(twice).is_err());
    assert!(
        ask(first.clone()).await.is_ok(),
        "a wrong list changes nothing"
    );
    let changed = user("eva", Some("second password"), None);
    users.replace(vec![changed]).unwrap();
    assert!(
        ask(first.clone()).await.is_err(),
        "although it was remembered"
    );
    assert!(ask(basic("eva:second password")).await.is_ok());
    assert!(ask("Bearer t".into()).await.is_err(), "removed");
    users.replace(Vec::new()).unwrap();
    assert!(ask(basic("eva:second password")).await.is_err());
}
