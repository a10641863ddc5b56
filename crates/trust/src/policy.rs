//! The policy decision point (docs/protocol.md 8): Cedar policies over a fixed schema, default deny.
//!
//! Policies and schema are validated when they are loaded, and tried on sample requests, so that a
//! policy that could never work is found at start and not at the first patient. What still fails at
//! evaluation denies: Cedar alone would skip a failing rule, even one that forbids.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use cedar_policy::{
    Authorizer, Context, Decision as Outcome, Entities, Entity, EntityId, EntityTypeName,
    EntityUid, PolicyId, PolicySet, Request, RestrictedExpression as Value, Schema, ValidationMode,
    Validator,
};
use harpo_protocol::access::{Obligation, Purpose};
use harpo_protocol::id::{BundleId, PartyId};
use miette::Diagnostic;
use serde::{Deserialize, Serialize};

/// The policies that apply unless the configuration names others.
pub const DEFAULT_POLICIES: &str = include_str!("../policy/default.cedar");
/// What policies may speak of.
pub const DEFAULT_SCHEMA: &str = include_str!("../policy/schema.cedarschema");

/// Whether a patient agrees to sharing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consent {
    /// Agrees.
    Permit,
    /// Objects.
    Deny,
    /// Was not asked, or nobody told.
    Unknown,
}

impl Consent {
    /// The word for it in policies and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Deny => "deny",
            Self::Unknown => "unknown",
        }
    }

    pub(crate) fn from_column(text: &str) -> Self {
        match text {
            "permit" => Self::Permit,
            "deny" => Self::Deny,
            _ => Self::Unknown,
        }
    }
}

/// Who wants something.
#[derive(Clone, Copy, Debug)]
pub struct Hospital<'a> {
    /// Its party, from its certificate.
    pub party: PartyId,
    /// The name under which it was enrolled.
    pub name: &'a str,
}

/// A bundle, as policies see it.
#[derive(Clone, Debug)]
pub struct Resource<'a> {
    /// The bundle.
    pub bundle: BundleId,
    /// Who deposited it.
    pub origin: Hospital<'a>,
    /// The patient, as the origin names it.
    pub patient_id: &'a str,
    /// The study.
    pub study_instance_uid: &'a str,
    /// The patient's consent.
    pub consent: Consent,
    /// Modalities of its series.
    pub modalities: &'a BTreeSet<String>,
}

/// What somebody wants.
#[derive(Clone, Copy, Debug)]
pub enum Question<'a> {
    /// A hospital deposits a bundle.
    Deposit,
    /// A user finds bundles.
    Search(User<'a>),
    /// A user fetches a bundle.
    Retrieve(User<'a>),
}

/// A user, as the user's hospital vouches for it.
#[derive(Clone, Copy, Debug)]
pub struct User<'a> {
    /// Name of the user.
    pub name: &'a str,
    /// Role at the hospital.
    pub role: &'a str,
    /// Why.
    pub purpose: Purpose,
}

/// What the policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it permits.
    pub permit: bool,
    /// What the permit demands, without duplicates.
    pub obligations: Vec<Obligation>,
    /// The rules that decided, by their `@id`; none for a default denial.
    pub rules: Vec<String>,
}

/// Why policies or schema cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A file could not be read.
    #[error("cannot read {}; name an existing file in [policy], or leave it out for the default", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not Cedar, or against the schema.
    #[error("{what}, line {line}: {why}")]
    Invalid {
        /// The file, or `the default policy`.
        what: String,
        /// Counted from 1; 0 if unknown.
        line: usize,
        /// What is wrong.
        why: String,
    },
}

/// A set of policies that was checked.
pub struct Policy {
    set: PolicySet,
    authorizer: Authorizer,
    types: Types,
}

struct Types {
    gateway: EntityTypeName,
    user: EntityTypeName,
    bundle: EntityTypeName,
    deposit: EntityUid,
    search: EntityUid,
    retrieve: EntityUid,
}

impl Policy {
    /// The default policy.
    pub fn builtin() -> Result<Self, PolicyError> {
        Self::load(None, None)
    }

    /// Policies and schema from files, or the default ones.
    pub fn load(policies: Option<&Path>, schema: Option<&Path>) -> Result<Self, PolicyError> {
        let (policy_name, policies) = text(policies, "the default policy", DEFAULT_POLICIES)?;
        let (schema_name, schema) = text(schema, "the default schema", DEFAULT_SCHEMA)?;
        Self::parse(&policy_name, &policies, &schema_name, &schema)
    }

    /// From text; the names stand in error messages.
    pub fn parse(
        policy_name: &str,
        policies: &str,
        schema_name: &str,
        schema: &str,
    ) -> Result<Self, PolicyError> {
        let (schema, _) = Schema::from_cedarschema_str(schema)
            .map_err(|error| invalid(schema_name, schema, &error))?;
        let set = PolicySet::from_str(policies)
            .map_err(|error| invalid(policy_name, policies, &error))?;
        let validation = Validator::new(schema.clone()).validate(&set, ValidationMode::Strict);
        if let Some(error) = validation.validation_errors().next() {
            return Err(invalid(policy_name, policies, error));
        }
        let complain = |why: String| PolicyError::Invalid {
            what: policy_name.to_owned(),
            line: 0,
            why,
        };
        let types = Types::new().map_err(&complain)?;
        let policy = Self {
            set,
            authorizer: Authorizer::new(),
            types,
        };
        for rule in policy.set.policies() {
            policy
                .obligations(rule.id())
                .map_err(|why| PolicyError::Invalid {
                    what: policy_name.to_owned(),
                    line: annotation_line(policies, &why.0),
                    why: format!("rule {}: {}", policy.name(rule.id()), why.1),
                })?;
        }
        policy
            .try_out(&schema)
            .map_err(|why| PolicyError::Invalid {
                what: schema_name.to_owned(),
                line: 0,
                why,
            })?;
        Ok(policy)
    }

    /// Decides. Anything that goes wrong on the way denies.
    pub fn decide(
        &self,
        question: Question<'_>,
        asking: Hospital<'_>,
        resource: &Resource<'_>,
    ) -> Decision {
        let denied = Decision {
            permit: false,
            obligations: Vec::new(),
            rules: Vec::new(),
        };
        let (request, entities) = match self.inputs(question, asking, resource, None) {
            Ok(inputs) => inputs,
            Err(why) => {
                tracing::error!(%why, "a policy question could not be asked; it is denied");
                return denied;
            }
        };
        let response = self
            .authorizer
            .is_authorized(&request, &self.set, &entities);
        if let Some(error) = response.diagnostics().errors().next() {
            tracing::error!(%error, "a policy failed at evaluation; the request is denied");
            return denied;
        }
        let mut decision = Decision {
            permit: response.decision() == Outcome::Allow,
            ..denied
        };
        let mut obligations = BTreeSet::new();
        for rule in response.diagnostics().reason() {
            decision.rules.push(self.name(rule));
            // Checked by `parse`.
            obligations.extend(self.obligations(rule).unwrap_or_default());
        }
        decision.rules.sort();
        if decision.permit {
            decision.obligations = obligations.into_iter().collect();
        }
        decision
    }

    fn name(&self, rule: &PolicyId) -> String {
        self.set
            .annotation(rule, "id")
            .map_or_else(|| rule.to_string(), str::to_owned)
    }

    /// On failure: the annotation and what is wrong with it.
    fn obligations(&self, rule: &PolicyId) -> Result<Vec<Obligation>, (String, String)> {
        let Some(words) = self.set.annotation(rule, "obligations") else {
            return Ok(Vec::new());
        };
        words
            .split_whitespace()
            .map(|word| {
                word.parse()
                    .map_err(|error: harpo_protocol::Malformed| (words.to_owned(), error.why))
            })
            .collect()
    }

    fn inputs(
        &self,
        question: Question<'_>,
        asking: Hospital<'_>,
        resource: &Resource<'_>,
        schema: Option<&Schema>,
    ) -> Result<(Request, Entities), String> {
        let hospital = asking.party.to_string();
        let mut attributes = HashMap::from([
            ("hospital".to_owned(), string(&hospital)),
            ("hospital_name".to_owned(), string(asking.name)),
        ]);
        let (principal, action, context) = match question {
            Question::Deposit => (
                uid(&self.types.gateway, &hospital),
                &self.types.deposit,
                Context::empty(),
            ),
            Question::Search(user) | Question::Retrieve(user) => {
                attributes.insert("role".to_owned(), string(user.role));
                let action = match question {
                    Question::Retrieve(_) => &self.types.retrieve,
                    _ => &self.types.search,
                };
                let purpose = ("purpose".to_owned(), string(user.purpose.code()));
                (
                    uid(&self.types.user, &format!("{hospital}/{}", user.name)),
                    action,
                    Context::from_pairs([purpose]).map_err(|e| e.to_string())?,
                )
            }
        };
        let bundle = uid(&self.types.bundle, &resource.bundle.to_string());
        let entities = Entities::from_entities(
            [
                entity(principal.clone(), attributes)?,
                entity(bundle.clone(), bundle_attributes(resource))?,
            ],
            schema,
        )
        .map_err(|e| e.to_string())?;
        let request = Request::new(principal, action.clone(), bundle, context, schema)
            .map_err(|e| e.to_string())?;
        Ok((request, entities))
    }

    /// Asks each kind of question once, against the schema: it must describe what trust fills in.
    fn try_out(&self, schema: &Schema) -> Result<(), String> {
        let hospital = Hospital {
            party: PartyId([0; 16]),
            name: "",
        };
        let user = User {
            name: "",
            role: "",
            purpose: Purpose::Treat,
        };
        let resource = Resource {
            bundle: BundleId([0; 16]),
            origin: hospital,
            patient_id: "",
            study_instance_uid: "",
            consent: Consent::Unknown,
            modalities: &BTreeSet::from(["CT".to_owned()]),
        };
        for question in [
            Question::Deposit,
            Question::Search(user),
            Question::Retrieve(user),
        ] {
            self.inputs(question, hospital, &resource, Some(schema))?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Policy({} rules)", self.set.num_of_policies())
    }
}

impl Types {
    fn new() -> Result<Self, String> {
        let name = |text: &str| EntityTypeName::from_str(text).map_err(|e| e.to_string());
        let action = name("Action")?;
        Ok(Self {
            gateway: name("Gateway")?,
            user: name("User")?,
            bundle: name("Bundle")?,
            deposit: uid(&action, "deposit"),
            search: uid(&action, "search"),
            retrieve: uid(&action, "retrieve"),
        })
    }
}

fn bundle_attributes(resource: &Resource<'_>) -> HashMap<String, Value> {
    HashMap::from([
        (
            "origin".to_owned(),
            string(&resource.origin.party.to_string()),
        ),
        ("origin_name".to_owned(), string(resource.origin.name)),
        ("patient_id".to_owned(), string(resource.patient_id)),
        (
            "study_instance_uid".to_owned(),
            string(resource.study_instance_uid),
        ),
        ("consent".to_owned(), string(resource.consent.as_str())),
        (
            "modalities".to_owned(),
            Value::new_set(resource.modalities.iter().map(|m| string(m))),
        ),
    ])
}

fn entity(uid: EntityUid, attributes: HashMap<String, Value>) -> Result<Entity, String> {
    Entity::new(uid, attributes, HashSet::new()).map_err(|e| e.to_string())
}

fn uid(of: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(of.clone(), EntityId::new(id))
}

fn string(text: &str) -> Value {
    Value::new_string(text.to_owned())
}

fn text(
    path: Option<&Path>,
    default_name: &str,
    default: &str,
) -> Result<(String, String), PolicyError> {
    let Some(path) = path else {
        return Ok((default_name.to_owned(), default.to_owned()));
    };
    let text = std::fs::read_to_string(path).map_err(|source| PolicyError::File {
        path: path.to_owned(),
        source,
    })?;
    Ok((path.display().to_string(), text))
}

fn invalid(name: &str, source: &str, error: &dyn Diagnostic) -> PolicyError {
    let offset = error
        .labels()
        .and_then(|mut labels| labels.next())
        .map(|label| label.offset());
    let mut why = error.to_string();
    if let Some(help) = error.help() {
        why = format!("{why} ({help})");
    }
    PolicyError::Invalid {
        what: name.to_owned(),
        line: offset.map_or(0, |at| line_at(source, at)),
        why,
    }
}

fn line_at(source: &str, offset: usize) -> usize {
    1 + source
        .bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
}

/// Annotations carry no position of their own: the line that holds the text.
fn annotation_line(source: &str, words: &str) -> usize {
    source
        .find(&format!("\"{words}\""))
        .map_or(0, |at| line_at(source, at))
}

#[cfg(test)]
mod tests;
