//! Requests that another node of the region answers: passed on as they came, and the answer passed
//! back.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde::de::DeserializeOwned;
use syncline_core::{PartitionCount, RowKey, partition_of};
use syncline_host::COMPONENT_BYTES_MAX;

use super::{Api, blocking, body, rows};
use crate::config::Nodes;
use crate::problem::{Code, Problem};
use crate::region::{Passed, Peers, Unanswered};

/// Says which node has passed a request on. Such a request is answered where it arrives, or not at
/// all.
pub(super) const PASSED_BY: HeaderName = HeaderName::from_static("syncline-passed-by");
/// Of an upload: the component, with all that goes with it.
const UPLOAD_BYTES_MAX: usize = COMPONENT_BYTES_MAX + (8 << 20);
/// Of what is neither a row nor an upload: what axum takes where a route says nothing else.
const OTHER_BYTES_MAX: usize = 2 << 20;
/// What has no other method any node can say.
const PASSED_ON: [Method; 5] =
    [Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::DELETE];
/// Headers of one connection, which say nothing on the next.
const OF_A_CONNECTION: [HeaderName; 8] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
];
/// In a query: the node that is asked.
const NODE: &str = "node";

/// Who answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Whose {
    /// Whoever is asked, of itself or of all.
    Anyones,
    /// Each node has its own.
    EachNodes,
    /// This node.
    Of(String),
}

/// Answers a request here, or has the node answer that it is for.
pub(super) async fn pass(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let Some(peers) = api.region.peers() else { return next.run(request).await };
    if !PASSED_ON.contains(request.method()) {
        return next.run(request).await;
    }
    let whose = whose(request.uri().path(), peers.nodes(), api.region.partitions());
    let asked = match take_node(request.uri_mut()) {
        None => None,
        Some(node) if whose != Whose::EachNodes => {
            let detail = format!("this is the same in every node: ask without {NODE}={node}");
            return Problem::new(Code::InvalidRequest, detail).into_response();
        }
        Some(node) if peers.url(&node).is_none() => {
            let detail = format!("the region has no node {node}");
            return Problem::new(Code::NodeNotFound, detail).into_response();
        }
        Some(node) => Some(node),
    };
    let node = match whose {
        Whose::Of(node) => Some(node),
        Whose::Anyones | Whose::EachNodes => asked,
    };
    match node.filter(|node| node != peers.nodes().me()) {
        None => next.run(request).await,
        Some(node) => match passed_to(peers, node, request).await {
            Ok(response) => response,
            Err(problem) => problem.into_response(),
        },
    }
}

fn whose(path: &str, nodes: &Nodes, partitions: PartitionCount) -> Whose {
    let lead = || Whose::Of(nodes.lead().to_owned());
    let mut parts = path.trim_start_matches('/').split('/');
    let first = parts.next().unwrap_or_default();
    let kind = if first == "v1" { parts.next().unwrap_or_default() } else { first };
    let rest: Vec<&str> = parts.collect();
    match (kind, rest.as_slice()) {
        ("tables", [table, "rows", pk]) => match row(table, pk) {
            Some(row) => Whose::Of(nodes.owner_of(partition_of(&row, partitions)).to_owned()),
            // What is wrong with it, any node can say.
            None => Whose::Anyones,
        },
        ("tables", [_, "rows"]) | ("digests" | "node", _) => Whose::Anyones,
        ("merge-functions", [_, "log"]) => Whose::EachNodes,
        ("tables" | "merge-functions" | "rollouts" | "topology", _) => lead(),
        _ => Whose::EachNodes,
    }
}

/// The largest body that whoever answers the request takes. What is larger is refused here, as it
/// would be there: who refuses does not read to the end, and the one that passes it on would not see
/// why.
fn body_bytes_max(path: &str) -> usize {
    let path = path.strip_prefix("/v1").unwrap_or(path);
    match path.trim_start_matches('/').split('/').collect::<Vec<_>>().as_slice() {
        ["tables", _, "rows", _] => rows::BODY_BYTES_MAX,
        ["merge-functions"] => UPLOAD_BYTES_MAX,
        _ => OTHER_BYTES_MAX,
    }
}

fn row(table: &str, pk: &str) -> Option<RowKey> {
    Some(RowKey { table: decoded(table)?.parse().ok()?, pk: decoded(pk)?.parse().ok()? })
}

/// A segment of a path, or a value of a query. None: it is no text.
fn decoded(part: &str) -> Option<String> {
    percent_decode_str(part).decode_utf8().ok().map(Cow::into_owned)
}

/// Takes the node out of a query, and answers it.
fn take_node(uri: &mut Uri) -> Option<String> {
    let query = uri.query()?;
    let is_node = |pair: &&str| pair.split_once('=').is_some_and(|(name, _)| name == NODE);
    let node = query.split('&').rfind(is_node)?.split_once('=')?.1;
    let node = decoded(node)?;
    let rest: Vec<&str> = query.split('&').filter(|pair| !is_node(pair)).collect();
    let without = match rest.is_empty() {
        true => uri.path().to_owned(),
        false => format!("{}?{}", uri.path(), rest.join("&")),
    };
    let mut parts = std::mem::take(uri).into_parts();
    parts.path_and_query = without.parse().ok();
    *uri = Uri::from_parts(parts).unwrap_or_default();
    Some(node)
}

async fn passed_to(
    peers: &Arc<Peers>,
    node: String,
    request: Request,
) -> Result<Response, Problem> {
    if let Some(by) = request.headers().get(&PASSED_BY) {
        let by = by.to_str().unwrap_or("?");
        let detail = format!(
            "node {by} has passed this on to node {}, by whose configuration it is for node {node}: \
             [nodes] must be the same in every node of a region",
            peers.nodes().me()
        );
        return Err(Problem::new(Code::NodesDisagree, detail));
    }
    let (head, content) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let mut headers = head.headers;
    OF_A_CONNECTION.iter().for_each(|name| drop(headers.remove(name)));
    let content = body::read(content, body_bytes_max(head.uri.path())).await?;
    let answer = ask(peers, node, head.method, path, headers, content.to_vec()).await?;
    let Passed { status, mut headers, body } = answer.passed;
    OF_A_CONNECTION.iter().for_each(|name| drop(headers.remove(name)));
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// What another node has answered.
pub(super) struct OfNode {
    pub(super) node: String,
    pub(super) passed: Passed,
}

impl OfNode {
    /// A document. What is none is told as a problem of the node's.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let strange = |why: String| {
            let detail = format!("node {} answers otherwise than it should: {why}", self.node);
            Problem::new(Code::NodeDark, detail).with(NODE, self.node.as_str()).retry_after(1)
        };
        if !self.passed.status.is_success() {
            let document: Option<serde_json::Value> =
                serde_json::from_slice(&self.passed.body).ok();
            let detail = document.as_ref().and_then(|document| document["detail"].as_str());
            let status = self.passed.status.to_string();
            return Err(strange(detail.unwrap_or(&status).to_owned()));
        }
        serde_json::from_slice(&self.passed.body).map_err(|error| strange(error.to_string()))
    }
}

/// Asks all other nodes the same. Nobody is asked where the region is one node. One that is dark is
/// a problem.
pub(super) async fn ask_others(api: &Api, path: &str) -> Result<Vec<OfNode>, Problem> {
    of_others(api, Method::GET, path, Vec::new()).await
}

/// The same, with something to be told in JSON.
pub(super) async fn tell_others(
    api: &Api,
    path: &str,
    what: &impl Serialize,
) -> Result<Vec<OfNode>, Problem> {
    let content = serde_json::to_vec(what);
    let content = content.map_err(|error| Problem::new(Code::Internal, error))?;
    of_others(api, Method::POST, path, content).await
}

async fn of_others(
    api: &Api,
    method: Method,
    path: &str,
    content: Vec<u8>,
) -> Result<Vec<OfNode>, Problem> {
    let Some(peers) = api.region.peers() else { return Ok(Vec::new()) };
    let asked = peers.nodes().others().map(|(node, _)| {
        let (peers, node, path) = (Arc::clone(peers), node.to_owned(), path.to_owned());
        let (method, content) = (method.clone(), content.clone());
        let json = HeaderValue::from_static("application/json");
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, json)]);
        tokio::spawn(async move { ask(&peers, node, method, path, headers, content).await })
    });
    let mut answers = Vec::new();
    for asked in asked.collect::<Vec<_>>() {
        let gone = |_| Problem::new(Code::Internal, "the request could not be finished");
        answers.push(asked.await.map_err(gone)??);
    }
    Ok(answers)
}

/// Asks one node.
pub(super) async fn ask(
    peers: &Arc<Peers>,
    node: String,
    method: Method,
    path: String,
    mut headers: HeaderMap,
    content: Vec<u8>,
) -> Result<OfNode, Problem> {
    let by = HeaderValue::from_str(peers.nodes().me());
    let by = by.map_err(|error| Problem::new(Code::Internal, error))?;
    headers.insert(PASSED_BY, by);
    let turn = peers.turn(&node).await.map_err(|reason| is_dark(&node, &reason, ""))?;
    let reads = method == Method::GET || method == Method::HEAD;
    let then = if reads { "" } else { ". It is not known whether it has carried the request out" };
    let asked = {
        let (node, peers) = (node.clone(), Arc::clone(peers));
        blocking(move || {
            let _turn = turn;
            let url = peers.url(&node).unwrap_or_default();
            match peers.client.pass(url, (method, &path), headers, content) {
                Ok(passed) => Ok(OfNode { node, passed }),
                Err(Unanswered::Unreached(reason)) => Err(is_dark(&node, &reason, "")),
                Err(unanswered) => Err(is_dark(&node, &unanswered.to_string(), then)),
            }
        })
    };
    tokio::select! {
        answer = asked => answer,
        reason = peers.until_dark(&node) => Err(is_dark(&node, &reason, then)),
    }
}

fn is_dark(node: &str, reason: &str, then: &str) -> Problem {
    let detail = format!("node {node} has this, and does not answer: {reason}{then}");
    Problem::new(Code::NodeDark, detail).with(NODE, node).retry_after(1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::Node;

    fn nodes() -> Nodes {
        let node = |port: u16, partitions: [u32; 2]| Node {
            url: format!("http://127.0.0.1:{port}"),
            partitions: partitions.into(),
        };
        let all =
            BTreeMap::from([("a".to_owned(), node(1, [0, 1])), ("b".to_owned(), node(2, [2, 3]))]);
        Nodes::new("b", all)
    }

    #[test]
    fn a_row_is_its_owners_however_it_is_written() {
        let (nodes, partitions) = (nodes(), PartitionCount::new(4).unwrap());
        let whose = |path: &str| whose(path, &nodes, partitions);
        let mut owners = std::collections::BTreeSet::new();
        for number in 0..32 {
            let key =
                RowKey { table: "t".parse().unwrap(), pk: format!("é/{number}").parse().unwrap() };
            let owner = nodes.owner_of(partition_of(&key, partitions)).to_owned();
            assert_eq!(
                whose(&format!("/v1/tables/t/rows/%C3%a9%2F{number}")),
                Whose::Of(owner.clone())
            );
            assert_eq!(
                whose(&format!("/v1/tables/%74/rows/é%2f{number}")),
                Whose::Of(owner.clone())
            );
            owners.insert(owner);
        }
        assert_eq!(owners.len(), 2);
        assert_eq!(whose("/v1/tables/t/rows/%00"), Whose::Anyones);
        assert_eq!(whose("/v1/tables/1t/rows/x"), Whose::Anyones);
    }

    #[test]
    fn each_route_has_its_node() {
        let (nodes, partitions) = (nodes(), PartitionCount::new(4).unwrap());
        let lead = Whose::Of("a".into());
        for (path, expected) in [
            ("/v1/tables", &lead),
            ("/v1/tables/t", &lead),
            ("/v1/tables/t/history", &lead),
            ("/v1/tables/t/rows", &Whose::Anyones),
            ("/v1/digests", &Whose::Anyones),
            ("/v1/node/exchange", &Whose::Anyones),
            ("/merge-functions", &lead),
            ("/v1/merge-functions/sha256:00/component", &lead),
            ("/v1/merge-functions/sha256:00/log", &Whose::EachNodes),
            ("/v1/rollouts/1/remerge", &lead),
            ("/v1/topology/evict", &lead),
            ("/v1/conflicts", &Whose::EachNodes),
            ("/v1/quarantine/1/replay", &Whose::EachNodes),
            ("/metrics", &Whose::EachNodes),
            ("/readyz", &Whose::EachNodes),
        ] {
            assert_eq!(whose(path, &nodes, partitions), *expected, "{path}");
        }
    }

    #[test]
    fn a_body_may_be_as_large_as_where_it_is_taken() {
        for (path, expected) in [
            ("/v1/tables/t/rows/x", rows::BODY_BYTES_MAX),
            ("/v1/merge-functions", UPLOAD_BYTES_MAX),
            ("/merge-functions", UPLOAD_BYTES_MAX),
            ("/v1/rollouts", OTHER_BYTES_MAX),
            ("/v1/merge-functions/sha256:00/retire", OTHER_BYTES_MAX),
        ] {
            assert_eq!(body_bytes_max(path), expected, "{path}");
        }
    }

    #[test]
    fn the_node_is_taken_out_of_a_query() {
        for (given, node, left) in [
            ("/v1/alerts", None, "/v1/alerts"),
            ("/v1/alerts?node=b", Some("b"), "/v1/alerts"),
            ("/v1/conflicts?table=t&node=%62&limit=1", Some("b"), "/v1/conflicts?table=t&limit=1"),
            ("/v1/conflicts?nodes=b", None, "/v1/conflicts?nodes=b"),
            ("/v1/conflicts?node=a&node=b", Some("b"), "/v1/conflicts"),
        ] {
            let mut uri: Uri = given.parse().unwrap();
            assert_eq!(take_node(&mut uri).as_deref(), node, "{given}");
            assert_eq!(uri.to_string(), left);
        }
    }
}
