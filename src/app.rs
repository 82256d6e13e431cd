//! Assembles the application from its configuration. The only module that knows every adapter.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio_util::task::TaskTracker;

use crate::api::{Admission, App, Parts, Readiness};
use crate::auth::{AccessTokens, BearerTokens, ExternalIssuer};
use crate::clock::{Clock, SystemClock};
use crate::config::{CodeSettings, Config, Mode, SmsSettings, TokenSettings};
use crate::crypto::{OtpSecret, OtpSecrets, RequestDigests};
use crate::entropy::{Entropy, SystemEntropy};
use crate::fraud::FraudCheck;
use crate::fraud::checker::FraudChecker;
use crate::fraud::disabled::Disabled;
use crate::fraud::sandbox::SandboxCheck;
use crate::fraud::seon::{InvalidApiKey, Seon};
use crate::outbound;
use crate::sandbox::Sandbox;
use crate::service::{Conversion, OneTimeCodes, SandboxClient, Service};
use crate::sms::gateway::InvalidToken;
use crate::sms::magic_numbers::SeparatedProviders;
use crate::sms::providers::{NoProvider, Providers, ProvidersSettings};
use crate::sms::{ProviderSettings, SmsSender};
use crate::store::Store;
use crate::traces::Traces;
use secrecy::{ExposeSecret, SecretString};

/// Why the application could not be assembled.
#[derive(Debug, thiserror::Error)]
pub enum AssemblyError {
    /// The outbound HTTP client could not be created.
    #[error("the HTTP client could not be created")]
    HttpClient(#[from] reqwest::Error),
    /// See the source.
    #[error(transparent)]
    Gateway(#[from] InvalidToken),
    /// See the source.
    #[error(transparent)]
    Sms(#[from] NoProvider),
    /// See the source.
    #[error(transparent)]
    Seon(#[from] InvalidApiKey),
}

/// The dependencies that do not come from the configuration: the real ones in production, doubles in tests.
pub struct Surroundings {
    /// The database.
    pub store: Arc<dyn Store>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The SMS sender; `None` for the configured providers.
    pub sms: Option<Arc<dyn SmsSender>>,
}

impl Surroundings {
    /// The system clock, the system's randomness and the configured providers.
    #[must_use]
    pub fn real(store: Arc<dyn Store>) -> Self {
        Self { store, clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy), sms: None }
    }
}

/// Assembles the application.
///
/// # Errors
/// When an adapter refuses its settings.
pub fn assemble(config: &Config, surroundings: Surroundings) -> Result<App, AssemblyError> {
    let Surroundings { store, clock, entropy, sms } = surroundings;
    let sandbox = (config.mode == Mode::Sandbox).then(|| Arc::new(Sandbox::new(clock.clone())));
    let clock = sandbox.as_ref().map_or(clock, |sandbox| sandbox.clock.clone() as Arc<dyn Clock>);
    let http = outbound::client()?;
    let traces = match &config.traces {
        Some(settings) => {
            let instance = uuid::Builder::from_random_bytes(entropy.bytes()).into_uuid();
            Traces::start(settings.clone(), http.clone(), instance)
        }
        None => Traces::default(),
    };
    let sms = match sms {
        Some(sms) => sms,
        None => sms_sender(&config.sms, &http)?,
    };
    let fraud: Arc<dyn FraudCheck> = match &config.fraud.seon {
        Some(settings) => Arc::new(Seon::new(settings.clone(), http.clone())?),
        None if sandbox.is_some() => Arc::new(SandboxCheck { deadline: config.fraud.deadline }),
        None => Arc::new(Disabled),
    };
    let tokens = BearerTokens {
        own: AccessTokens::new(&config.tokens.current, config.tokens.previous.as_ref(), config.tokens.lifetime),
        external: config.external_issuer.clone().map(|settings| ExternalIssuer::new(settings, http)),
        clock: clock.clone(),
    };
    let service = Service {
        store,
        sms,
        fraud: FraudChecker::new(fraud, config.fraud.policy),
        clock,
        entropy,
        codes: one_time_codes(&config.codes),
        sms_template: config.sms.template.clone(),
        sandbox_client: config.sandbox_client.then(SandboxClient::new),
        sandbox,
        policy: config.policy.clone(),
        conversion: Conversion::default(),
    };
    let parts = Parts {
        service: Arc::new(service),
        tokens: Arc::new(tokens),
        request_digests: request_digests(&config.tokens),
        limits: config.limits,
        admission: Admission::new(&config.limits),
        running: TaskTracker::new(),
        traces,
        readiness: Readiness::default(),
        draining: AtomicBool::new(false),
    };
    Ok(parts.into())
}

/// Retries are recognised under the previous secret as well, like tokens.
fn request_digests(settings: &TokenSettings) -> RequestDigests {
    let secrets = [Some(&settings.current), settings.previous.as_ref()].into_iter().flatten();
    RequestDigests::new(secrets.map(|secret| secret.expose_secret().as_bytes()))
}

fn one_time_codes(settings: &CodeSettings) -> OneTimeCodes {
    match settings {
        CodeSettings::Fixed(code) => OneTimeCodes::Fixed(code.clone()),
        CodeSettings::Derived { version, current, previous } => {
            let secret = |text: &SecretString| OtpSecret::new(text.expose_secret().as_bytes());
            OneTimeCodes::Derived(OtpSecrets::new(*version, secret(current), previous.as_ref().map(secret)))
        }
    }
}

/// With the console provider, which only the sandbox accepts, the magic numbers have separate circuits.
fn sms_sender(settings: &SmsSettings, http: &reqwest::Client) -> Result<Arc<dyn SmsSender>, AssemblyError> {
    let has_console = settings.providers.iter().any(|provider| matches!(provider, ProviderSettings::Console));
    let providers = || sms_providers(settings, http);
    Ok(if has_console { Arc::new(SeparatedProviders::new(providers)?) } else { Arc::new(providers()?) })
}

fn sms_providers(settings: &SmsSettings, http: &reqwest::Client) -> Result<Providers, AssemblyError> {
    let list = settings.providers.iter().map(|provider| provider.provider(http)).collect::<Result<_, _>>()?;
    let settings = ProvidersSettings {
        attempt_deadline: settings.attempt_deadline,
        after_uncertain: settings.after_uncertain,
        circuit: settings.circuit,
    };
    Ok(Providers::new(list, settings)?)
}
