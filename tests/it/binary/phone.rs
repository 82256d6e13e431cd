//! `phone`: the software phone. openssl, another implementation, reads its keys and verifies its signatures.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use device_management::crypto::DerSignature;
use serde_json::json;

use super::{exit_code, fail, run, sandbox_on};
use crate::harness::{DEVICE_CHALLENGES, Process, Program, TestDatabase, on_both_databases};

on_both_databases![a_software_phone_binds_a_device_adds_a_key_approves_and_declines];

/// A text of a device challenge, with characters of two and three bytes.
const TEXT: &str =
    "device-management/approval/v1\nchallenge: 1\naction: payment\npayee: Café Müller\nreference: „Grüße“ €";

/// The only line that the command prints.
#[track_caller]
fn printed(program: &Program, arguments: &[&str]) -> String {
    let process = program.start(&[&["phone"], arguments].concat());
    assert_eq!(exit_code(&process), 0, "{}", process.logs().join("\n"));
    let output = process.output();
    assert_eq!(output.len(), 1, "one line on standard output: {output:?}");
    output[0].clone()
}

/// Runs a shell script in the program's folder, where `phone` is the command under test.
fn shell(program: &Program, script: &str) -> Output {
    let executable = program.command(&[]);
    let mut command = Command::new("sh");
    command.args(["-eu", "-c", &format!("phone() {{ \"$0\" phone \"$@\"; }}\n{script}")]);
    command.arg(executable.get_program()).current_dir(program.folder()).env("TEXT", TEXT).output().unwrap()
}

#[track_caller]
fn shell_prints(program: &Program, script: &str) -> String {
    let output = shell(program, script);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn a_software_phone_binds_a_device_adds_a_key_approves_and_declines(database: TestDatabase) {
    let program = sandbox_on(&database);
    let service = program.serve();
    let client = service.sandbox_client().await;
    client.verified_person("ada").await;

    let key = printed(&program, &["new"]);
    let body = json!({"person_id": "ada", "key_type": "ecdsa-p256", "key": key});
    let asked = client.post("/v1/mfa/devices", body).await.assert_status(202).json();
    let device = asked["id"].as_str().unwrap();
    client.answer(device, &printed(&program, &["sign", "212212"])).await.assert_status(204);

    let second = printed(&program, &["new", "restricted"]);
    let vouched = json!({"signature_key_purpose": "unrestricted", "signature": printed(&program, &["sign", &second])});
    let body =
        json!({"key_type": "ecdsa-p256", "key": second, "key_purpose": "restricted", "device_signature": vouched});
    client.post(&format!("/v1/mfa/devices/{device}/keys"), body).await.assert_status(201);

    let challenge = async || {
        let payee = json!({"name": "Café Müller GmbH"});
        let approval = json!({"action": "payment", "amount": {"value": "12.50", "currency": "EUR"}, "payee": payee});
        let body = json!({"device_id": device, "key_purpose": "restricted", "approval": approval});
        let opened = client.post(DEVICE_CHALLENGES, body).await.assert_status(201).json();
        let text = |name: &str| opened[name].as_str().unwrap().to_owned();
        (format!("{DEVICE_CHALLENGES}/{}", text("id")), text("string_to_sign"))
    };
    let (path, text) = challenge().await;
    let signature = printed(&program, &["sign", "--key", "restricted", &text]);
    client.put(&path, json!({"signature": signature})).await.assert_status(204);
    let (path, text) = challenge().await;
    let signature = printed(&program, &["sign", "--key", "restricted", "--decline", &text]);
    let answer = json!({"signature": signature, "decision": "declined", "reason": "not_me"});
    client.put(&path, answer).await.assert_status(204);
}

#[test]
fn openssl_reads_the_key_file_and_verifies_the_signatures() {
    let program = Program::new();
    let key = printed(&program, &["new"]);
    let read_by_openssl =
        "openssl pkey -in phone.pem -pubout -outform DER | tail -c 65 | od -An -v -tx1 | tr -d ' \\n'";
    assert_eq!(shell_prints(&program, read_by_openssl), key);
    fs::write(program.folder().join("text"), TEXT).unwrap();
    let signature = hex::decode(printed(&program, &["sign", TEXT])).unwrap();
    fs::write(program.folder().join("signature"), signature).unwrap();
    let verify = "openssl pkey -in phone.pem -pubout -out public.pem
                  openssl dgst -sha256 -verify public.pem -signature signature text";
    assert_eq!(shell_prints(&program, verify), "Verified OK\n");
}

#[test]
fn a_key_that_openssl_made_signs_too() {
    let program = Program::new();
    shell_prints(&program, "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out phone.pem");
    let read_by_openssl =
        "openssl pkey -in phone.pem -pubout -outform DER | tail -c 65 | od -An -v -tx1 | tr -d ' \\n'";
    assert_eq!(printed(&program, &["show", "phone"]), shell_prints(&program, read_by_openssl));
    DerSignature::from_hex(&printed(&program, &["sign", "212212"])).unwrap();
}

#[test]
fn standard_input_is_signed_byte_for_byte() {
    let program = Program::new();
    printed(&program, &["new"]);
    let as_argument = printed(&program, &["sign", TEXT]);
    let with_line_end = printed(&program, &["sign", &format!("{TEXT}\n")]);
    assert_ne!(as_argument, with_line_end);
    for (script, expected) in [
        ("printf %s \"$TEXT\" | phone sign", &as_argument),
        ("printf %s \"$TEXT\" | phone sign -", &as_argument),
        ("printf '%s\\n' \"$TEXT\" | phone sign -", &with_line_end),
    ] {
        assert_eq!(shell_prints(&program, script).trim_end(), expected, "{script}");
    }
}

#[test]
fn usual_mistakes_in_the_text_are_warned_about_and_signed_as_given() {
    let program = Program::new();
    printed(&program, &["new"]);
    for (text, warning) in [
        ("212212\n", "the text ends with a line end, which no text of the API has: use printf %s, not echo"),
        ("device-management/challenge/v1\r\nnonce: 1", "the text contains a carriage return"),
        ("device-management/challenge/v1\\nnonce: 1", "the text has no line ends: decode `string_to_sign` from JSON"),
        ("", "the text is empty"),
    ] {
        let process = program.start(&["phone", "sign", text]);
        assert_eq!(exit_code(&process), 0);
        let logs = process.logs().join("\n");
        assert!(logs.starts_with("warning: ") && logs.contains(warning), "{warning}: {logs}");
        assert!(!logs.contains("212212") && !logs.contains("nonce"), "the warning contains the text: {logs}");
        DerSignature::from_hex(&process.output().concat()).unwrap();
    }
}

#[test]
fn the_key_file_is_private_and_no_key_in_it_is_replaced() {
    let program = Program::new();
    let first = printed(&program, &["new"]);
    let file = program.folder().join("phone.pem");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let content = fs::read(&file).unwrap();
    let (code, message) = fail(&program, &["phone", "new"]);
    assert_eq!(code, 1);
    let expected = "phone.pem already has a key with the name phone, which is kept: `phone show` prints it. Give the new \
                    key another name (`phone new NAME`) or another file (`--file FILE`), or remove phone.pem";
    assert_eq!(message, format!("device-management: {expected}"));
    assert_eq!(fs::read(&file).unwrap(), content);
    let second = printed(&program, &["new", "restricted"]);
    let (_, shown) = run(&program, &["phone", "show"]);
    let expected = ["name\tpublic_key".to_owned(), format!("phone\t{first}"), format!("restricted\t{second}")];
    assert_eq!(shown, expected);
    let elsewhere = printed(&program, &["new", "--file", "other.pem"]);
    assert_eq!(printed(&program, &["show", "phone", "--file", "other.pem"]), elsewhere);
}

#[test]
fn keys_that_are_made_at_the_same_time_are_all_kept() {
    let program = Program::new();
    let names: Vec<String> = (0..8).map(|number| format!("key-{}", number / 2)).collect();
    let processes: Vec<Process> = names.iter().map(|name| program.start(&["phone", "new", name])).collect();
    let mut made: Vec<String> =
        processes.iter().filter(|process| exit_code(process) == 0).map(|process| process.output().concat()).collect();
    let (_, shown) = run(&program, &["phone", "show"]);
    let mut kept: Vec<String> = shown[1..].iter().map(|line| line.split_once('\t').unwrap().1.to_owned()).collect();
    made.sort();
    kept.sort();
    assert_eq!(made.len(), 4, "one key for each name");
    assert_eq!(made, kept);
}

#[test]
fn every_signature_is_strict_der_over_the_text() {
    let program = Program::new();
    printed(&program, &["new"]);
    let script = "for code in $(seq 100000 100063); do phone sign \"$code\"; done";
    let signatures = shell_prints(&program, script);
    assert_eq!(signatures.lines().filter(|line| DerSignature::from_hex(line).is_ok()).count(), 64);
}

#[test]
fn the_phone_needs_no_valid_configuration_and_makes_no_database() {
    let program = Program::new().with("MODE", "nonsense").with("DATABASE_URL", "postgres://app:hunter2@127.0.0.1:1/db");
    printed(&program, &["new"]);
    DerSignature::from_hex(&printed(&program, &["sign", "212212"])).unwrap();
    let files = fs::read_dir(program.folder()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(files.collect::<Vec<_>>(), ["phone.pem"]);
}

#[test]
fn each_failure_says_how_to_go_on_and_shows_no_key() {
    let program = Program::new();
    let (code, message) = fail(&program, &["phone", "sign", "212212"]);
    assert_eq!(code, 1);
    assert!(message.contains("there is no file phone.pem: make a key with `device-management phone new`"), "{message}");
    printed(&program, &["new"]);
    fs::write(
        program.folder().join("rsa.pem"),
        "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----\n",
    )
    .unwrap();
    fs::write(program.folder().join("broken.pem"), "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMG").unwrap();
    let no_challenge =
        "only a device challenge can be declined: --decline takes its `string_to_sign`, whose first line is";
    for (arguments, expected) in [
        (&["sign", "212212", "--key", "other"][..], "phone.pem has no key with the name other; it has: phone"),
        (&["sign", "212212", "--decline"], no_challenge),
        (&["sign", "212212", "--file", "rsa.pem"], "rsa.pem is not a file of phone keys"),
        (&["show", "--file", "broken.pem"], "broken.pem is not a file of phone keys"),
        (&["new", "more", "--file", "broken.pem"], "broken.pem is not a file of phone keys"),
        (&["new", "--file", "."], ". cannot be written: Is a directory"),
        (&["new", "--file", "no/such/folder.pem"], "no/such/folder.pem cannot be written: No such file or directory"),
    ] {
        let (code, message) = fail(&program, &[&["phone"], arguments].concat());
        assert_eq!(code, 1, "{message}");
        assert!(message.contains(expected), "{expected}: {message}");
        assert!(!message.contains("212212") && !message.contains("MIGHAgEA"), "{message}");
    }
    assert_eq!(fail(&program, &["phone", "new", "a name"]).0, 2);
}

#[test]
fn no_command_prints_a_private_key() {
    let program = Program::new();
    let mut seen = shell_prints(&program, "{ phone new; phone new restricted; phone sign 212212; phone show; } 2>&1");
    seen += &String::from_utf8(shell(&program, "phone new 2>&1").stdout).unwrap();
    let file = fs::read_to_string(program.folder().join("phone.pem")).unwrap();
    let secrets: Vec<&str> = file.lines().filter(|line| !line.starts_with('-') && !line.contains(' ')).collect();
    assert_eq!(secrets.len(), 6, "three lines of Base64 for each key");
    assert!(secrets.iter().all(|line| !seen.contains(line)), "{seen}");
    let scalar = "openssl pkey -in phone.pem -outform DER | od -An -v -tx1 -j 36 -N 32 | tr -d ' \\n'";
    let scalar = shell_prints(&program, scalar);
    assert_eq!(scalar.len(), 64);
    assert!(!seen.contains(&scalar), "{seen}");
}

#[test]
fn help_says_that_the_keys_are_for_tests() {
    let help = run(&Program::new(), &["phone", "--help"]).1.join(" ");
    for part in ["A software phone for testers", "never bind a real person", "new", "sign", "show", "phone.pem"] {
        assert!(help.contains(part), "{part}: {help}");
    }
    let sign = run(&Program::new(), &["phone", "sign", "--help"]).1.join("\n");
    assert!(sign.contains("printf %s \"$text\" | device-management phone sign"), "{sign}");
}
