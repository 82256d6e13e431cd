//! A database for one test: a SQLite file in its own folder, or a Postgres database copied from a template.
//!
//! Both are migrated, and are removed when the handle drops. All Postgres databases of a test process are on one
//! server, which the first test starts.

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
use super::citus::CitusCluster;
use super::{PostgresServer, Start, folder, postgres, report_not_run, sql};

/// The project's own tables.
static SCHEMA: Schema = Schema::new(|url| {
    Box::pin(async move {
        let url = DatabaseUrl::parse(&url).expect("the harness makes valid URLs");
        migrate(&DatabaseSettings::new(url)).await.expect("the migrations fit an empty database");
    })
});

/// The kinds of database that the service runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
    /// Postgres with a fake Citus catalogue that marks the tables as distributed. The service then sends plain
    /// statements in transactions.
    Distributed,
    /// A Citus cluster of a coordinator and two workers with distributed tables.
    Citus,
}

/// The part of the Citus catalogue that the service reads.
const DISTRIBUTED: &str = "create table pg_dist_partition (logicalrelid regclass primary key, partmethod \"char\");
                           insert into pg_dist_partition values ('person', 'h')";

impl Engine {
    /// Whether this kind of database is available. If not, reports `test` as not run; for Citus, reports once for all.
    pub(crate) async fn is_there_for(self, test: &str) -> bool {
        if self == Self::Citus {
            return CitusCluster::shared().await.is_some();
        }
        let there = self == Self::Sqlite || server().await.is_some();
        if !there {
            report_not_run(test, "install Postgres (apt-get install postgresql), or set TEST_DATABASE_URL");
        }
        there
    }
}

type Migration = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The schema of test databases. On Postgres, each process migrates one template, and copies it for every test.
pub(crate) struct Schema {
    migrate: fn(String) -> Migration,
    template: OnceCell<String>,
}

impl Schema {
    /// A schema that `migrate` creates in the empty database whose URL it gets. It must leave no connection open.
    pub(crate) const fn new(migrate: fn(String) -> Migration) -> Self {
        Self { migrate, template: OnceCell::const_new() }
    }

    /// A fresh database with this schema.
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
                let server = server().await.expect("tests check first that Postgres is available");
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
            // The cluster has its own template, with the project's tables.
            Engine::Citus => {
                let cluster = CitusCluster::shared().await.expect("tests check first that Citus is available");
                let name = cluster.database().await;
                TestDatabase::Citus { url: cluster.url(&name), name, cluster }
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
    Citus {
        url: String,
        name: String,
        cluster: &'static CitusCluster,
    },
    /// On a Postgres server that the test manages.
    Own {
        url: String,
    },
}

impl TestDatabase {
    /// The value for `DATABASE_URL`.
    pub(crate) fn url(&self) -> &str {
        match self {
            Self::Sqlite { url, .. } | Self::Postgres { url, .. } | Self::Citus { url, .. } | Self::Own { url } => url,
        }
    }

    /// The engine by SQL dialect; never `Distributed` or `Citus`.
    pub(crate) fn engine(&self) -> Engine {
        match self {
            Self::Sqlite { .. } => Engine::Sqlite,
            Self::Postgres { .. } | Self::Citus { .. } | Self::Own { .. } => Engine::Postgres,
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
        if let Self::Citus { name, cluster, .. } = self {
            cluster.drop(name);
        }
        if let Self::Postgres { name, server, .. } = self {
            let dropped = server.administrator.drop(name);
            // Our own server is removed as a whole; on a server of TEST_DATABASE_URL the database must be dropped
            // before this process ends. Blocking here cannot deadlock: the administrator has its own thread and
            // runtime.
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
            (url.into_string().map_err(|_| "TEST_DATABASE_URL is not UTF-8")?, None)
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

/// The server that all tests share, started on the first call. If it cannot start, every test fails.
async fn server() -> Option<&'static Server> {
    static SERVER: OnceCell<Result<Option<Server>, String>> = OnceCell::const_new();
    SERVER.get_or_init(Server::start).await.as_ref().unwrap_or_else(|report| panic!("{report}")).as_ref()
}
