//! A database for one test: a file in a folder of its own, or a Postgres database copied from a template.
//!
//! Both have the schema already and are gone when the handle drops. All Postgres databases of a test process live on
//! one server, which the first of them starts.

use std::env;
use std::fs::File;
use std::pin::Pin;
use std::str::FromStr;

use device_management::store::{DatabaseSettings, DatabaseUrl, migrate};
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use super::administrator::Administrator;
use super::{PostgresServer, Start, folder, postgres, report_not_run, sql};

/// The project's own tables.
static SCHEMA: Schema = Schema::new(|url| {
    Box::pin(async move {
        let url = DatabaseUrl::parse(&url).expect("the harness makes good URLs");
        migrate(&DatabaseSettings::new(url)).await.expect("the migrations fit an empty database");
    })
});

/// The databases that the service runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
    /// Postgres with a stand-in for the catalogue of Citus, which says that the tables are distributed: the service sends
    /// plain statements in transactions.
    Distributed,
}

/// What Citus keeps of the tables that it has distributed, as far as the service looks at it.
const DISTRIBUTED: &str = "create table pg_dist_partition (logicalrelid regclass primary key, partmethod \"char\");
                           insert into pg_dist_partition values ('person', 'h')";

impl Engine {
    /// Whether there is such a database for `test`; reports that it did not run, if not.
    pub(crate) async fn is_there_for(self, test: &str) -> bool {
        let there = self == Self::Sqlite || server().await.is_some();
        if !there {
            report_not_run(test, "install Postgres (apt-get install postgresql), or set TEST_DATABASE_URL");
        }
        there
    }
}

type Migration = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Tables that test databases begin with. Postgres makes them once for each process and copies them from there on.
pub(crate) struct Schema {
    migrate: fn(String) -> Migration,
    template: OnceCell<String>,
}

impl Schema {
    /// A schema that `migrate` makes in the empty database whose URL it gets. It leaves no connection open.
    pub(crate) const fn new(migrate: fn(String) -> Migration) -> Self {
        Self { migrate, template: OnceCell::const_new() }
    }

    /// A fresh database with these tables.
    pub(crate) async fn database(&self, engine: Engine) -> TestDatabase {
        match engine {
            Engine::Sqlite => {
                let folder = folder::temporary();
                let file = folder.path().join("device-management.db");
                File::create(&file).expect("an empty file, which is an empty database");
                let url = format!("sqlite://{}", file.display());
                (self.migrate)(url.clone()).await;
                TestDatabase::Sqlite { url, _folder: folder }
            }
            Engine::Postgres => {
                let server = server().await.expect("tests ask first whether Postgres is there");
                let template = self.template.get_or_init(async || {
                    let template = server.administrator.create(None).await;
                    (self.migrate)(server.url(&template)).await;
                    template
                });
                let name = server.administrator.create(Some(template.await)).await;
                TestDatabase::Postgres { url: server.url(&name), name, server }
            }
            Engine::Distributed => {
                let database = Box::pin(self.database(Engine::Postgres)).await;
                sql::execute(database.url(), DISTRIBUTED).await;
                database
            }
        }
    }
}

/// One test's database.
pub(crate) enum TestDatabase {
    Sqlite {
        url: String,
        _folder: TempDir,
    },
    Postgres {
        url: String,
        name: String,
        server: &'static Server,
    },
    /// On a Postgres server that the test itself looks after.
    Own {
        url: String,
    },
}

impl TestDatabase {
    /// What `DATABASE_URL` would say.
    pub(crate) fn url(&self) -> &str {
        let (Self::Sqlite { url, .. } | Self::Postgres { url, .. } | Self::Own { url }) = self;
        url
    }

    /// The engine whose SQL it takes.
    pub(crate) fn engine(&self) -> Engine {
        match self {
            Self::Sqlite { .. } => Engine::Sqlite,
            Self::Postgres { .. } | Self::Own { .. } => Engine::Postgres,
        }
    }
}

impl Start for TestDatabase {
    async fn start(engine: Engine) -> Self {
        SCHEMA.database(engine).await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Self::Postgres { name, server, .. } = self {
            let dropped = server.administrator.drop(name);
            // Our own server is thrown away as a whole; a lent one must be clean before this process can end.
            // The wait is short, and safe anywhere: the administrator has a thread and a runtime of its own.
            if server.own.is_none() {
                let _ = dropped.recv();
            }
        }
    }
}

/// The Postgres server of this test process.
pub(crate) struct Server {
    options: PgConnectOptions,
    administrator: Administrator,
    own: Option<PostgresServer>,
}

impl Server {
    fn url(&self, database: &str) -> String {
        self.options.clone().database(database).to_url_lossy().into()
    }

    async fn start() -> Result<Option<Self>, String> {
        let lent = env::var_os("TEST_DATABASE_URL").filter(|url| !url.is_empty());
        let (url, own) = if let Some(url) = lent {
            (url.into_string().map_err(|_| "TEST_DATABASE_URL is not text")?, None)
        } else if postgres::installed().is_some() {
            let own = spawn_blocking(|| PostgresServer::start(&[])).await.expect("starting does not panic")?;
            (own.url("postgres"), Some(own))
        } else {
            return Ok(None);
        };
        let options = PgConnectOptions::from_str(&url).map_err(|error| format!("TEST_DATABASE_URL: {error}"))?;
        let administrator = Administrator::start(options.clone(), own.is_some()).await?;
        Ok(Some(Self { options, administrator, own }))
    }
}

/// The server that all tests share, started by the first that asks. A server that cannot start fails every test.
async fn server() -> Option<&'static Server> {
    static SERVER: OnceCell<Result<Option<Server>, String>> = OnceCell::const_new();
    SERVER.get_or_init(Server::start).await.as_ref().unwrap_or_else(|report| panic!("{report}")).as_ref()
}
