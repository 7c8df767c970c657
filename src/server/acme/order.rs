//! One order: the authority asks for proof of each name, gets it, and issues a certificate.

use crate::server::acme::responder::{self, TokenAnswers};
use crate::server::acme::store::AcmeStore;
use crate::server::acme::transport::{AcmeTransport, TrustError};
use crate::server::config::acme::{AcmeChallenge, AcmeOptions};
use crate::server::tls::challenges::AlpnChallenges;
use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, KeyAuthorization, NewAccount, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// How long the authority may take to look at the proofs, and again to issue.
const PATIENCE: Duration = Duration::from_secs(90);

/// Why no certificate was issued.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    #[error("the authority: {0}")]
    Authority(#[from] instant_acme::Error),
    #[error("cannot trust the authority's certificate: {0}")]
    Trust(#[from] TrustError),
    #[error("the authority offers no challenge {challenge} for {name}")]
    NoChallenge { name: String, challenge: &'static str },
    #[error("the authority has not accepted the proof: the order is {0:?}")]
    NotProven(OrderStatus),
    #[error("the authority does not take another proof of {name}: it calls the last one {status:?}")]
    Closed { name: String, status: AuthorizationStatus },
    #[error("a certificate for the proof cannot be made: {0}")]
    Proof(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("cannot listen on {address} for the challenge http-01: {source}")]
    Port { address: SocketAddr, source: io::Error },
    #[error("cannot store the account or the certificate: {0}")]
    Store(#[source] io::Error),
    #[error("it took longer than {} seconds", .0.as_secs())]
    TooSlow(Duration),
}

/// What answers the authority while an order is under way. Dropping it ends the answers.
struct Proofs {
    challenges: AlpnChallenges,
    responding: Option<AbortHandle>,
}

impl Drop for Proofs {
    fn drop(&mut self) {
        self.challenges.replace(BTreeMap::new());
        self.responding.iter().for_each(AbortHandle::abort);
    }
}

/// A name, its token, and what proves it.
struct Question {
    name: String,
    token: String,
    proof: KeyAuthorization,
}

/// Orders a certificate, and stores it.
pub async fn order(options: &AcmeOptions, store: &AcmeStore, challenges: &AlpnChallenges) -> Result<(), OrderError> {
    let account = account(options, store).await?;
    let names: Vec<_> = options.names.iter().map(|name| Identifier::Dns(name.clone())).collect();
    let mut order = account.new_order(&NewOrder::new(&names)).await?;
    let questions = questions(&mut order, options.challenge).await?;
    let _proofs = prepare(options, challenges, questions).await?;
    set_ready(&mut order, options.challenge).await?;
    let patience = RetryPolicy::new().timeout(PATIENCE);
    match order.poll_ready(&patience).await? {
        OrderStatus::Ready | OrderStatus::Valid => {}
        status => return Err(OrderError::NotProven(status)),
    }
    let key = order.finalize().await?;
    let chain = order.poll_certificate(&patience).await?;
    store.put(&key, &chain).map_err(OrderError::Store)
}

/// The account that is stored, or a new one.
async fn account(options: &AcmeOptions, store: &AcmeStore) -> Result<Account, OrderError> {
    let builder = Account::builder_with_http(Box::new(AcmeTransport::new(options.ca_file.as_deref())?));
    if let Some(credentials) = store.account(&options.directory_url) {
        return Ok(builder.from_credentials(credentials).await?);
    }
    let contact = format!("mailto:{}", options.contact);
    let contacts = [contact.as_str()];
    let contact = if options.contact.is_empty() { &[][..] } else { &contacts[..] };
    let new = NewAccount { contact, terms_of_service_agreed: true, only_return_existing: false };
    let (account, credentials) = builder.create(&new, options.directory_url.clone(), None).await?;
    store.put_account(&options.directory_url, credentials).map_err(OrderError::Store)?;
    Ok(account)
}

fn kind_of(challenge: AcmeChallenge) -> ChallengeType {
    match challenge {
        AcmeChallenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        AcmeChallenge::Http01 => ChallengeType::Http01,
    }
}

/// What the authority asks for. Names that it knows already are not asked for.
async fn questions(order: &mut Order, challenge: AcmeChallenge) -> Result<Vec<Question>, OrderError> {
    let mut questions = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        let name = authorization.identifier().to_string();
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            status => return Err(OrderError::Closed { name, status }),
        }
        let missing = OrderError::NoChallenge { name: name.clone(), challenge: challenge.name() };
        let asked = authorization.challenge(kind_of(challenge)).ok_or(missing)?;
        questions.push(Question { name, token: asked.token.clone(), proof: asked.key_authorization() });
    }
    Ok(questions)
}

/// From now on the authority gets its answers.
async fn prepare(
    options: &AcmeOptions,
    challenges: &AlpnChallenges,
    questions: Vec<Question>,
) -> Result<Proofs, OrderError> {
    let mut proofs = Proofs { challenges: challenges.clone(), responding: None };
    match options.challenge {
        AcmeChallenge::TlsAlpn01 => {
            let answers: Result<_, OrderError> = questions.into_iter().map(certified).collect();
            challenges.replace(answers?);
        }
        AcmeChallenge::Http01 => {
            let address = options.http_listen;
            let port = TcpListener::bind(address).await.map_err(|source| OrderError::Port { address, source })?;
            let answers = questions.into_iter().map(|it| (it.token, it.proof.as_str().to_owned()));
            let answers: TokenAnswers = answers.collect();
            proofs.responding = Some(tokio::spawn(responder::respond(port, Arc::new(answers))).abort_handle());
        }
    }
    Ok(proofs)
}

/// The certificate that proves a name in a handshake (RFC 8737, 3).
fn certified(Question { name, proof, .. }: Question) -> Result<(String, Arc<CertifiedKey>), OrderError> {
    let failed = |error: rcgen::Error| OrderError::Proof(error.into());
    let mut params = CertificateParams::new([name.clone()]).map_err(failed)?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(proof.digest().as_ref())];
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = aws_lc_rs::default_provider().key_provider.load_private_key(key);
    let key = key.map_err(|error| OrderError::Proof(error.into()))?;
    // Unchecked: the extension is critical, and nobody but an authority understands it.
    Ok((name, Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key))))
}

/// Tells the authority to look.
async fn set_ready(order: &mut Order, challenge: AcmeChallenge) -> Result<(), OrderError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        if let Some(mut asked) = authorization.challenge(kind_of(challenge)) {
            asked.set_ready().await?;
        }
    }
    Ok(())
}
