//! How S3 is spoken to: where a bucket lies, signatures, listings.

use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use super::address::encoded;

/// What the usual environment variables say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Access {
    /// `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`: another store than Amazon's.
    pub(super) endpoint: Option<String>,
    /// `AWS_REGION` or `AWS_DEFAULT_REGION`; us-east-1.
    pub(super) region: String,
    /// None: nothing is signed.
    pub(super) credentials: Option<Credentials>,
}

/// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    key: String,
    secret: String,
    token: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Credentials")
    }
}

impl Access {
    pub(super) fn of_environment() -> Self {
        let given = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let unsigned = given("AWS_NO_SIGN_REQUEST")
            .is_some_and(|text| matches!(text.to_ascii_lowercase().as_str(), "1" | "yes" | "true" | "on"));
        let credentials = match (given("AWS_ACCESS_KEY_ID"), given("AWS_SECRET_ACCESS_KEY")) {
            (Some(key), Some(secret)) if !unsigned => {
                Some(Credentials { key, secret, token: given("AWS_SESSION_TOKEN") })
            }
            _ => None,
        };
        Self {
            endpoint: given("AWS_ENDPOINT_URL_S3").or_else(|| given("AWS_ENDPOINT_URL")),
            region: given("AWS_REGION").or_else(|| given("AWS_DEFAULT_REGION")).unwrap_or_else(|| "us-east-1".into()),
            credentials,
        }
    }

    /// Scheme and host of a bucket, and the path before its keys.
    fn place(&self, bucket: &str) -> (String, String) {
        match &self.endpoint {
            Some(endpoint) => (endpoint.trim_end_matches('/').to_string(), format!("/{bucket}")),
            // A name with dots does not fit the certificate of the virtual host.
            None if bucket.contains('.') => (format!("https://s3.{}.amazonaws.com", self.region), format!("/{bucket}")),
            None => (format!("https://{bucket}.s3.{}.amazonaws.com", self.region), String::new()),
        }
    }

    /// URL and headers of a GET of `key` with a query of sorted names and values.
    pub(super) fn get(&self, bucket: &str, key: &str, query: &[(&str, &str)]) -> (String, Vec<(String, String)>) {
        let (host, before) = self.place(bucket);
        // An endpoint may have a path of its own.
        let (scheme, rest) = host.split_once("://").unwrap_or(("https", &host));
        let (authority, own) =
            rest.split_once('/').map_or((rest, String::new()), |(host, path)| (host, format!("/{path}")));
        let path = match key {
            "" => format!("{own}{before}/"),
            key => format!("{own}{before}/{}", encoded(key, true)),
        };
        let pairs: Vec<String> =
            query.iter().map(|(name, value)| format!("{}={}", encoded(name, false), encoded(value, false))).collect();
        let query = pairs.join("&");
        let url = format!("{scheme}://{authority}{path}{}{query}", if query.is_empty() { "" } else { "?" });
        let headers = match &self.credentials {
            None => Vec::new(),
            Some(credentials) => {
                let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
                credentials.sign(&self.region, authority, &path, &query, &date(seconds))
            }
        };
        (url, headers)
    }
}

/// SHA-256 of nothing: the body of every request here.
const NO_BODY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

impl Credentials {
    /// The headers that sign a GET without body (Signature Version 4).
    fn sign(&self, region: &str, host: &str, path: &str, query: &str, time: &str) -> Vec<(String, String)> {
        let mut headers = vec![
            ("host".to_string(), host.to_string()),
            ("x-amz-content-sha256".to_string(), NO_BODY.to_string()),
            ("x-amz-date".to_string(), time.to_string()),
        ];
        headers.extend(self.token.iter().map(|token| ("x-amz-security-token".to_string(), token.clone())));
        let signature = self.signature(region, path, query, time, &headers);
        let names = headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
        let scope = format!("{}/{region}/s3/aws4_request", &time[..8]);
        // The client writes the host itself.
        headers.remove(0);
        headers.push((
            "authorization".into(),
            format!("AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}", self.key),
        ));
        headers
    }

    /// `headers` are sorted and of lower-case names.
    fn signature(&self, region: &str, path: &str, query: &str, time: &str, headers: &[(String, String)]) -> String {
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let names = headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
        let request = format!("GET\n{path}\n{query}\n{lines}\n{names}\n{NO_BODY}");
        let day = &time[..8];
        let hash = hexadecimal(&Sha256::digest(request));
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{day}/{region}/s3/aws4_request\n{hash}");
        let mut key = hmac(format!("AWS4{}", self.secret).as_bytes(), day.as_bytes());
        for part in [region, "s3", "aws4_request", text.as_str()] {
            key = hmac(&key, part.as_bytes());
        }
        hexadecimal(&key)
    }
}

/// HMAC (RFC 2104) with SHA-256.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0u8; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Seconds since 1970 as `YYYYMMDDTHHMMSSZ`.
fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (mut year, mut left) = (1970, days);
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days_of = |year: u64| if leap(year) { 366 } else { 365 };
    while left >= days_of(year) {
        left -= days_of(year);
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    let (hours, minutes) = (rest / 3600, rest / 60 % 60);
    format!("{year:04}{month:02}{:02}T{hours:02}{minutes:02}{:02}Z", left + 1, rest % 60)
}

/// What a listing says: names of objects and their bytes, names of folders, and where it goes on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) objects: Vec<(String, u64)>,
    pub(super) folders: Vec<String>,
    pub(super) next: Option<String>,
}

/// Reads one page of a listing (ListObjectsV2).
pub(super) fn listing(text: &str) -> Result<Listing, String> {
    let document = roxmltree::Document::parse(text).map_err(|error| error.to_string())?;
    let root = document.root_element();
    if root.tag_name().name() != "ListBucketResult" {
        return Err(format!("a document `{}`", root.tag_name().name()));
    }
    let inner = |node: roxmltree::Node<'_, '_>, name: &str| {
        let child = node.children().find(|child| child.tag_name().name() == name);
        child.and_then(|child| child.text()).map(str::to_string)
    };
    let mut found = Listing::default();
    for node in root.children() {
        match node.tag_name().name() {
            "Contents" => {
                let size = inner(node, "Size").and_then(|text| text.parse().ok()).unwrap_or(0);
                found.objects.extend(inner(node, "Key").map(|key| (key, size)));
            }
            "CommonPrefixes" => found.folders.extend(inner(node, "Prefix")),
            _ => {}
        }
    }
    if inner(root, "IsTruncated").as_deref() == Some("true") {
        found.next = Some(inner(root, "NextContinuationToken").ok_or("a listing that goes on nowhere")?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_signature_comes_out() {
        // The example "GET Object" of Amazon's documentation of Signature Version 4 for S3.
        let credentials = Credentials {
            key: "AKIAIOSFODNN7EXAMPLE".into(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            token: None,
        };
        let headers: Vec<(String, String)> = [
            ("host", "examplebucket.s3.amazonaws.com"),
            ("range", "bytes=0-9"),
            ("x-amz-content-sha256", NO_BODY),
            ("x-amz-date", "20130524T000000Z"),
        ]
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .into();
        let found = credentials.signature("us-east-1", "/test.txt", "", "20130524T000000Z", &headers);
        assert_eq!(found, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
        assert!(!format!("{credentials:?}").contains("EXAMPLE"));
    }

    #[test]
    fn dates() {
        assert_eq!(date(0), "19700101T000000Z");
        assert_eq!(date(951_782_400), "20000229T000000Z");
        assert_eq!(date(1_369_353_600), "20130524T000000Z");
        assert_eq!(date(1_735_689_599), "20241231T235959Z");
    }

    #[test]
    fn buckets_are_found() {
        let access = |endpoint: Option<&str>| Access {
            endpoint: endpoint.map(str::to_string),
            region: "eu-west-1".into(),
            credentials: None,
        };
        let url = |access: Access, bucket: &str, key: &str| access.get(bucket, key, &[]).0;
        assert_eq!(url(access(None), "cells", "a b/X"), "https://cells.s3.eu-west-1.amazonaws.com/a%20b/X");
        assert_eq!(url(access(None), "my.cells", "X"), "https://s3.eu-west-1.amazonaws.com/my.cells/X");
        assert_eq!(url(access(Some("http://127.0.0.1:9/")), "cells", "X"), "http://127.0.0.1:9/cells/X");
        assert_eq!(url(access(Some("http://host/s3")), "cells", "X"), "http://host/s3/cells/X");
        let (list, _) = access(Some("http://h")).get("cells", "", &[("list-type", "2"), ("prefix", "a/")]);
        assert_eq!(list, "http://h/cells/?list-type=2&prefix=a%2F");
    }

    #[test]
    fn listings_are_read() {
        let text = "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
            <IsTruncated>true</IsTruncated><NextContinuationToken>on</NextContinuationToken>\
            <Contents><Key>a/.zgroup</Key><Size>24</Size></Contents>\
            <CommonPrefixes><Prefix>a/X/</Prefix></CommonPrefixes></ListBucketResult>";
        let expected =
            Listing { objects: vec![("a/.zgroup".into(), 24)], folders: vec!["a/X/".into()], next: Some("on".into()) };
        assert_eq!(listing(text), Ok(expected));
        assert!(listing("<Error/>").is_err() && listing("no").is_err());
    }
}
