//! Java and Maven.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

/// The oldest Java that this release of Kafka and its settings were tried with.
const JAVA_MIN: u32 = 17;

pub(crate) const JAVA: &str = "java";
pub(crate) const MAVEN: &str = if cfg!(windows) { "mvn.cmd" } else { "mvn" };

/// That both are there.
pub(crate) fn look() -> Result<()> {
    let install =
        format!("real Apache Kafka runs on it; install a JDK of release {JAVA_MIN} or newer");
    let Some(said) = said(JAVA, "-version") else {
        bail!("Java is not installed: {install}");
    };
    if release(&said).is_none_or(|release| release < JAVA_MIN) {
        bail!("Java is too old, or not known ({}): {install}", said.lines().next().unwrap_or(""));
    }
    if self::said(MAVEN, "--version").is_none() {
        bail!("Maven is not installed: it fetches Apache Kafka; install Maven 3 or newer");
    }
    Ok(())
}

/// Java says its version to stderr.
fn said(program: &str, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).stdin(Stdio::null()).output().ok()?;
    let said = [output.stdout, output.stderr].concat();
    output.status.success().then(|| String::from_utf8_lossy(&said).into_owned())
}

/// Of `openjdk version "17.0.15" 2025-04-15`.
fn release(said: &str) -> Option<u32> {
    let (_, version) = said.split_once('"')?;
    version.split(['.', '-', '"', '+']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::release;

    #[test]
    fn releases_of_java() {
        assert_eq!(release("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK"), Some(17));
        assert_eq!(release("openjdk version \"25\" 2025-09-16"), Some(25));
        assert_eq!(release("java version \"1.8.0_401\""), Some(1));
        assert_eq!(release("no such thing"), None);
    }
}
