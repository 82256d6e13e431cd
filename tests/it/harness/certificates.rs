//! Certificates made with the `openssl` command: an authority, and what it signs for servers and clients.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::folder;

/// A certificate authority. Its files are removed when it drops.
pub(crate) struct Authority {
    folder: TempDir,
}

/// The PEM files of a certificate and of its private key.
pub(crate) struct Certificate {
    pub(crate) file: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let authority = Self { folder: folder::temporary() };
        authority.openssl(&format!("req -x509 {NEW_KEY} -keyout ca.key -out ca.pem -subj /CN=authority -days 2"));
        authority
    }

    /// The certificate of the authority.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for this common name and these alternative names (`DNS:db.example,IP:127.0.0.1`), valid for a day.
    pub(crate) fn sign(&self, common_name: &str, names: &str) -> Certificate {
        self.sign_for(common_name, names, 1)
    }

    /// The same, expired a day ago.
    pub(crate) fn sign_expired(&self, common_name: &str, names: &str) -> Certificate {
        self.sign_for(common_name, names, -1)
    }

    /// A certificate that its own key signed, as authorities' are, but for a server.
    pub(crate) fn self_signed(&self, name: &str, names: &str) -> Certificate {
        let [key, file] = ["self.key", "self.pem"].map(|file| self.folder.path().join(file));
        self.openssl(&format!(
            "req {NEW_KEY} -keyout self.key -out self.csr -subj /CN={name} -addext subjectAltName={names} \
             -addext basicConstraints=critical,CA:FALSE"
        ));
        self.openssl("x509 -req -in self.csr -signkey self.key -days 1 -copy_extensions copy -out self.pem");
        Certificate { file, key }
    }

    fn sign_for(&self, name: &str, names: &str, days: i8) -> Certificate {
        let serial = fs::read_dir(self.folder.path()).expect("the folder exists").count();
        let [request, key, file] = ["csr", "key", "pem"].map(|kind| format!("{serial}.{kind}"));
        self.openssl(&format!(
            "req {NEW_KEY} -keyout {key} -out {request} -subj /CN={name} -addext subjectAltName={names}"
        ));
        self.openssl(&format!(
            "x509 -req -in {request} -CA ca.pem -CAkey ca.key -set_serial {serial} -days {days} -copy_extensions copy \
             -out {file}"
        ));
        let [file, key] = [file, key].map(|name| self.folder.path().join(name));
        Certificate { file, key }
    }

    /// A copy of a private key that a passphrase encrypts.
    pub(crate) fn encrypted(&self, key: &Path, passphrase: &str) -> PathBuf {
        let copy = self.folder.path().join("encrypted.key");
        let (key, to) = (key.display(), copy.display());
        self.openssl(&format!("pkey -in {key} -aes256 -passout pass:{passphrase} -out {to}"));
        copy
    }

    fn openssl(&self, arguments: &str) {
        let done = Command::new("openssl").args(arguments.split(' ')).current_dir(self.folder.path()).output();
        let done = done.expect("openssl is installed");
        assert!(done.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

/// An unencrypted P-256 key.
const NEW_KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
