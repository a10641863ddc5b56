use proptest::prelude::*;

use super::*;

const HERE: PartyId = PartyId([1; 16]);
const THERE: PartyId = PartyId([2; 16]);

/// The default policy again, as plain Rust.
fn oracle(
    deposit: bool,
    asking: PartyId,
    origin: PartyId,
    role: &str,
    purpose: Purpose,
    consent: Consent,
) -> (bool, bool) {
    if deposit {
        return (asking == origin, false);
    }
    let own = asking == origin;
    let treatment = matches!(role, "physician" | "radiologist")
        && matches!(purpose, Purpose::Treat | Purpose::Etreat)
        && consent != Consent::Deny;
    let research = purpose == Purpose::Hresch && consent == Consent::Permit;
    let break_glass = role == "physician" && purpose == Purpose::Btg;
    (own || treatment || research || break_glass, break_glass)
}

fn ask(
    policy: &Policy,
    question: Question<'_>,
    asking: PartyId,
    origin: PartyId,
    consent: Consent,
) -> Decision {
    let modalities = BTreeSet::from(["CT".to_owned()]);
    let resource = Resource {
        bundle: BundleId([3; 16]),
        origin: Hospital {
            party: origin,
            name: "Origin",
        },
        patient_id: "p",
        study_instance_uid: "1.2",
        consent,
        modalities: &modalities,
    };
    let asking = Hospital {
        party: asking,
        name: "Asking",
    };
    policy.decide(question, asking, &resource)
}

fn user(role: &str, purpose: Purpose) -> User<'_> {
    User {
        name: "u",
        role,
        purpose,
    }
}

#[test]
fn table_of_the_default_policy() {
    let policy = Policy::builtin().unwrap();
    let cases = [
        ("physician", Purpose::Treat, Consent::Unknown, true),
        ("radiologist", Purpose::Etreat, Consent::Permit, true),
        ("physician", Purpose::Treat, Consent::Deny, false),
        ("physician", Purpose::Etreat, Consent::Deny, false),
        ("nurse", Purpose::Treat, Consent::Permit, false),
        ("researcher", Purpose::Hresch, Consent::Permit, true),
        ("researcher", Purpose::Hresch, Consent::Unknown, false),
        ("researcher", Purpose::Hresch, Consent::Deny, false),
        ("physician", Purpose::Hoperat, Consent::Permit, false),
        ("radiologist", Purpose::Btg, Consent::Deny, false),
        ("physician", Purpose::Btg, Consent::Deny, true),
    ];
    for (role, purpose, consent, expected) in cases {
        for question in [
            Question::Search(user(role, purpose)),
            Question::Retrieve(user(role, purpose)),
        ] {
            let decision = ask(&policy, question, HERE, THERE, consent);
            assert_eq!(
                decision.permit, expected,
                "{role} {purpose} {consent:?}: {decision:?}"
            );
        }
    }
    assert!(ask(&policy, Question::Deposit, HERE, HERE, Consent::Unknown).permit);
    assert!(!ask(&policy, Question::Deposit, HERE, THERE, Consent::Unknown).permit);
}

#[test]
fn breaking_the_glass_has_consequences_and_treatment_has_none() {
    let policy = Policy::builtin().unwrap();
    let broken = ask(
        &policy,
        Question::Retrieve(user("physician", Purpose::Btg)),
        HERE,
        THERE,
        Consent::Deny,
    );
    assert_eq!(
        broken.obligations,
        [Obligation::NotifyOrigin, Obligation::SecondReview]
    );
    assert_eq!(broken.rules, ["break-glass"]);
    let treated = ask(
        &policy,
        Question::Retrieve(user("physician", Purpose::Treat)),
        HERE,
        THERE,
        Consent::Unknown,
    );
    assert!(treated.permit && treated.obligations.is_empty());
}

proptest! {
    #[test]
    fn the_default_policy_says_what_the_oracle_says(
        asking in 0u8..3, origin in 0u8..3,
        role in prop::sample::select(vec!["physician", "radiologist", "researcher", "nurse", "", "Physician"]),
        purpose in prop::sample::select(Purpose::ALL.to_vec()),
        consent in prop::sample::select(vec![Consent::Permit, Consent::Deny, Consent::Unknown]),
        action in 0..3,
    ) {
        thread_local!(static POLICY: Policy = Policy::builtin().unwrap());
        let (asking, origin) = (PartyId([asking; 16]), PartyId([origin; 16]));
        let question = match action {
            0 => Question::Deposit,
            1 => Question::Search(user(role, purpose)),
            _ => Question::Retrieve(user(role, purpose)),
        };
        let decision = POLICY.with(|policy| ask(policy, question, asking, origin, consent));
        let (permit, obliged) = oracle(action == 0, asking, origin, role, purpose, consent);
        prop_assert_eq!(decision.permit, permit);
        prop_assert_eq!(!decision.obligations.is_empty(), obliged);
        prop_assert_eq!(!decision.rules.is_empty(), permit);
    }
}

#[test]
fn mistakes_are_found_at_start_with_their_line() {
    let parse = |policies: &str| {
        Policy::parse("p.cedar", policies, "s", DEFAULT_SCHEMA)
            .unwrap_err()
            .to_string()
    };
    let cases = [
        (
            "permit(principal, action, resource);\n\npermit(principal, action, resource",
            "p.cedar, line 3",
        ),
        (
            "// misspelt\npermit(principal is User, action == Action::\"retrieve\", resource)\nwhen { resource.patient == \"x\" };",
            "p.cedar, line 3",
        ),
        (
            "permit(principal is User, action == Action::\"fetch\", resource);",
            "p.cedar, line 1",
        ),
        (
            "\n@obligations(\"notify-everyone\")\npermit(principal, action, resource);",
            "p.cedar, line 2",
        ),
    ];
    for (policies, expected) in cases {
        let message = parse(policies);
        assert!(message.starts_with(expected), "{message}");
    }
    let schema = Policy::parse("p", "", "s.cedarschema", "\nentity Usr").unwrap_err();
    assert!(
        schema.to_string().starts_with("s.cedarschema, line 2"),
        "{schema}"
    );
    let other = DEFAULT_SCHEMA.replace("modalities", "kinds");
    assert!(
        Policy::parse("p", "", "s", &other).is_err(),
        "a schema that does not fit was accepted"
    );
}

#[test]
fn nothing_is_permitted_by_an_empty_policy_and_forbidding_wins() {
    let empty = Policy::parse("p", "", "s", DEFAULT_SCHEMA).unwrap();
    assert!(!ask(&empty, Question::Deposit, HERE, HERE, Consent::Permit).permit);
    let forbidding =
        format!("{DEFAULT_POLICIES}\nforbid(principal, action == Action::\"deposit\", resource);");
    let forbidding = Policy::parse("p", &forbidding, "s", DEFAULT_SCHEMA).unwrap();
    assert!(!ask(&forbidding, Question::Deposit, HERE, HERE, Consent::Permit).permit);
}

#[test]
fn a_rule_that_fails_at_evaluation_denies_instead_of_being_skipped() {
    // Cedar skips failing rules: without our check, the forbidding rule would be ignored.
    let failing = format!(
        "{DEFAULT_POLICIES}\nforbid(principal is User, action, resource) \
         when {{ 9223372036854775807 + 1 == 0 || resource.patient_id == \"p\" }};"
    );
    let failing = Policy::parse("p", &failing, "s", DEFAULT_SCHEMA).unwrap();
    let question = Question::Retrieve(user("physician", Purpose::Treat));
    assert!(!ask(&failing, question, HERE, HERE, Consent::Permit).permit);
}
