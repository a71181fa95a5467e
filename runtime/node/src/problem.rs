//! What a client is told when a request is not carried out: RFC 9457 problem documents.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

/// A request that was not carried out. `code` is stable; title and detail are for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    code: Code,
    detail: String,
    extra: Map<String, Value>,
    retry_after_s: Option<u32>,
}

/// The kinds of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "title() says what each is")]
pub enum Code {
    InvalidTable,
    InvalidRowPk,
    InvalidRow,
    RowTooLarge,
    InvalidRequest,
    InvalidPrecondition,
    InvalidCursor,
    BodyIncomplete,
    UnsupportedMediaType,
    BodyTooLarge,
    BodyTooSlow,
    MethodNotAllowed,
    RouteNotFound,
    RowNotFound,
    TableNotFound,
    FunctionNotFound,
    RolloutNotFound,
    ConflictNotFound,
    QuarantinedNotFound,
    DivergenceNotFound,
    NodeNotFound,
    RegionNotFound,
    PreconditionFailed,
    ComponentRefused,
    VerificationFailed,
    ComponentTooLarge,
    ChecksumMismatch,
    RolloutOpen,
    RolloutEnded,
    RolloutNotThere,
    PlanRefused,
    VersionInUse,
    VersionRetired,
    VersionDeleted,
    RegionsSilent,
    NotReplayable,
    RepairNotOffered,
    MembershipUnderWay,
    IncarnationUsed,
    OldIncarnation,
    TooManyRegions,
    EvictsItself,
    NoCluster,
    SeveralNodes,
    NodeRefused,
    NodesDisagree,
    NodeDark,
    TooManyTables,
    TooManyRequests,
    RegionsBehind,
    ClockAhead,
    NotAMember,
    Joining,
    NoSpace,
    StoreUnavailable,
    Starting,
    Stopping,
    Internal,
}

impl Code {
    /// Every kind, for the reference.
    pub const ALL: [Self; 58] = [
        Self::InvalidTable,
        Self::InvalidRowPk,
        Self::InvalidRow,
        Self::RowTooLarge,
        Self::InvalidRequest,
        Self::InvalidPrecondition,
        Self::InvalidCursor,
        Self::BodyIncomplete,
        Self::UnsupportedMediaType,
        Self::BodyTooLarge,
        Self::BodyTooSlow,
        Self::MethodNotAllowed,
        Self::RouteNotFound,
        Self::RowNotFound,
        Self::TableNotFound,
        Self::FunctionNotFound,
        Self::RolloutNotFound,
        Self::ConflictNotFound,
        Self::QuarantinedNotFound,
        Self::DivergenceNotFound,
        Self::NodeNotFound,
        Self::RegionNotFound,
        Self::PreconditionFailed,
        Self::ComponentRefused,
        Self::VerificationFailed,
        Self::ComponentTooLarge,
        Self::ChecksumMismatch,
        Self::RolloutOpen,
        Self::RolloutEnded,
        Self::RolloutNotThere,
        Self::PlanRefused,
        Self::VersionInUse,
        Self::VersionRetired,
        Self::VersionDeleted,
        Self::RegionsSilent,
        Self::NotReplayable,
        Self::RepairNotOffered,
        Self::MembershipUnderWay,
        Self::IncarnationUsed,
        Self::OldIncarnation,
        Self::TooManyRegions,
        Self::EvictsItself,
        Self::NoCluster,
        Self::SeveralNodes,
        Self::NodeRefused,
        Self::NodesDisagree,
        Self::NodeDark,
        Self::TooManyTables,
        Self::TooManyRequests,
        Self::RegionsBehind,
        Self::ClockAhead,
        Self::NotAMember,
        Self::Joining,
        Self::NoSpace,
        Self::StoreUnavailable,
        Self::Starting,
        Self::Stopping,
        Self::Internal,
    ];

    /// The stable word, the HTTP status, and what it means.
    #[allow(clippy::too_many_lines, reason = "one exhaustive table of all kinds")]
    pub fn parts(self) -> (&'static str, StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::InvalidTable => ("invalid-table", S::BAD_REQUEST, "Not a table's name"),
            Self::InvalidRowPk => ("invalid-row-pk", S::BAD_REQUEST, "Not a row's key"),
            Self::InvalidRow => ("invalid-row", S::BAD_REQUEST, "The body is not a row"),
            Self::RowTooLarge => ("row-too-large", S::PAYLOAD_TOO_LARGE, "The row is too large"),
            Self::InvalidRequest => {
                ("invalid-request", S::BAD_REQUEST, "The request cannot be understood")
            }
            Self::InvalidPrecondition => (
                "invalid-precondition",
                S::BAD_REQUEST,
                "If-Match or If-None-Match cannot be understood",
            ),
            Self::InvalidCursor => {
                ("invalid-cursor", S::BAD_REQUEST, "The cursor is not one that was given out")
            }
            Self::BodyIncomplete => {
                ("body-incomplete", S::BAD_REQUEST, "The request's body ended too early")
            }
            Self::UnsupportedMediaType => (
                "unsupported-media-type",
                S::UNSUPPORTED_MEDIA_TYPE,
                "The body is of a type that is not taken here",
            ),
            Self::BodyTooLarge => {
                ("body-too-large", S::PAYLOAD_TOO_LARGE, "The request's body is too large")
            }
            Self::BodyTooSlow => {
                ("body-too-slow", S::REQUEST_TIMEOUT, "The request's body took too long to arrive")
            }
            Self::MethodNotAllowed => {
                ("method-not-allowed", S::METHOD_NOT_ALLOWED, "The route has no such method")
            }
            Self::RouteNotFound => ("route-not-found", S::NOT_FOUND, "There is no such route"),
            Self::RowNotFound => ("row-not-found", S::NOT_FOUND, "There is no such row"),
            Self::TableNotFound => ("table-not-found", S::NOT_FOUND, "There is no such table here"),
            Self::FunctionNotFound => {
                ("function-not-found", S::NOT_FOUND, "There is no such merge function here")
            }
            Self::RolloutNotFound => {
                ("rollout-not-found", S::NOT_FOUND, "There is no such rollout")
            }
            Self::ConflictNotFound => {
                ("conflict-not-found", S::NOT_FOUND, "This region's log has no such conflict")
            }
            Self::QuarantinedNotFound => {
                ("quarantined-not-found", S::NOT_FOUND, "No such record is kept in quarantine here")
            }
            Self::DivergenceNotFound => {
                ("divergence-not-found", S::NOT_FOUND, "No such divergence is known here")
            }
            Self::NodeNotFound => ("node-not-found", S::NOT_FOUND, "The region has no such node"),
            Self::SeveralNodes => (
                "several-nodes",
                S::CONFLICT,
                "A region of several nodes cannot do this, or not in this node",
            ),
            Self::NodeRefused => {
                ("node-refused", S::CONFLICT, "The node that leads does not take this one")
            }
            Self::NodesDisagree => (
                "nodes-disagree",
                S::LOOP_DETECTED,
                "The nodes of the region do not agree on who has what",
            ),
            Self::NodeDark => {
                ("node-dark", S::SERVICE_UNAVAILABLE, "The node that has this does not answer")
            }
            Self::RegionNotFound => ("region-not-found", S::NOT_FOUND, "There is no such region"),
            Self::PreconditionFailed => {
                ("precondition-failed", S::PRECONDITION_FAILED, "The row is not as asked for")
            }
            Self::ComponentRefused => (
                "component-refused",
                S::UNPROCESSABLE_ENTITY,
                "The component cannot be a merge function",
            ),
            Self::VerificationFailed => (
                "verification-failed",
                S::UNPROCESSABLE_ENTITY,
                "The function fails on a conflict that it would meet",
            ),
            Self::ComponentTooLarge => {
                ("component-too-large", S::PAYLOAD_TOO_LARGE, "The component is too large")
            }
            Self::ChecksumMismatch => (
                "checksum-mismatch",
                S::BAD_REQUEST,
                "The component is not the one that its checksum names",
            ),
            Self::RolloutOpen => {
                ("rollout-open", S::CONFLICT, "Another rollout of this table is under way")
            }
            Self::RolloutEnded => ("rollout-ended", S::CONFLICT, "The rollout has ended"),
            Self::RolloutNotThere => (
                "rollout-not-there",
                S::CONFLICT,
                "The rollout is not where this can be asked of it",
            ),
            Self::PlanRefused => {
                ("plan-refused", S::UNPROCESSABLE_ENTITY, "The rollout does not fit the regions")
            }
            Self::VersionInUse => {
                ("version-in-use", S::CONFLICT, "A table has the version, or is about to get it")
            }
            Self::VersionRetired => {
                ("version-retired", S::CONFLICT, "The version is not to be rolled out any more")
            }
            Self::VersionDeleted => ("version-deleted", S::CONFLICT, "The version is deleted"),
            Self::RegionsSilent => {
                ("regions-silent", S::CONFLICT, "Regions that this needs are not heard")
            }
            Self::NotReplayable => {
                ("not-replayable", S::CONFLICT, "The record cannot be read once more")
            }
            Self::RepairNotOffered => (
                "repair-not-offered",
                S::UNPROCESSABLE_ENTITY,
                "Rows cannot be repaired in this way",
            ),
            Self::MembershipUnderWay => {
                ("membership-under-way", S::CONFLICT, "Another change of the regions is under way")
            }
            Self::IncarnationUsed => {
                ("incarnation-used", S::CONFLICT, "The region is or was there in this incarnation")
            }
            Self::OldIncarnation => (
                "old-incarnation",
                S::CONFLICT,
                "The region is still a member in an earlier incarnation",
            ),
            Self::TooManyRegions => {
                ("too-many-regions", S::UNPROCESSABLE_ENTITY, "The limit on regions is reached")
            }
            Self::EvictsItself => {
                ("evicts-itself", S::UNPROCESSABLE_ENTITY, "A region does not evict itself")
            }
            Self::NoCluster => (
                "no-cluster",
                S::UNPROCESSABLE_ENTITY,
                "This region does not know where the other's cluster is",
            ),
            Self::TooManyTables => {
                ("too-many-tables", S::UNPROCESSABLE_ENTITY, "The limit on tables is reached")
            }
            Self::TooManyRequests => (
                "too-many-requests",
                S::TOO_MANY_REQUESTS,
                "More is asked than this region keeps up with",
            ),
            Self::RegionsBehind => {
                ("regions-behind", S::SERVICE_UNAVAILABLE, "Other regions are too far behind")
            }
            Self::ClockAhead => {
                ("clock-ahead", S::SERVICE_UNAVAILABLE, "This region's clock cannot stamp a write")
            }
            Self::NoSpace => ("no-space", S::SERVICE_UNAVAILABLE, "This region's disk is full"),
            Self::StoreUnavailable => {
                ("store-unavailable", S::SERVICE_UNAVAILABLE, "This region's store failed")
            }
            Self::NotAMember => {
                ("not-a-member", S::SERVICE_UNAVAILABLE, "This region is joining, or was evicted")
            }
            Self::Joining => {
                ("joining", S::SERVICE_UNAVAILABLE, "The region is taking over another's data")
            }
            Self::Starting => {
                ("starting", S::SERVICE_UNAVAILABLE, "The region takes no writes yet")
            }
            Self::Stopping => ("stopping", S::SERVICE_UNAVAILABLE, "This region is stopping"),
            Self::Internal => ("internal", S::INTERNAL_SERVER_ERROR, "Something is wrong here"),
        }
    }
}

impl Problem {
    /// A problem, with what this request in particular did.
    pub fn new(code: Code, detail: impl ToString) -> Self {
        Self { code, detail: detail.to_string(), extra: Map::new(), retry_after_s: None }
    }

    /// Adds a member of its own to the document.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(name.to_owned(), value.into());
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// What kind it is.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What is wrong in particular.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (code, status, title) = self.code.parts();
        let mut document = json!({
            "type": format!("urn:syncline:problem:{code}"),
            "title": title,
            "status": status.as_u16(),
            "detail": self.detail,
            "code": code,
        });
        if let Value::Object(members) = &mut document {
            members.extend(self.extra);
        }
        let mut response = (status, Json(document)).into_response();
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_kebab_case_and_unique() {
        let codes: BTreeSet<&str> = Code::ALL.iter().map(|code| code.parts().0).collect();
        assert_eq!(codes.len(), Code::ALL.len());
        let kebab = |c: char| c.is_ascii_lowercase() || c == '-';
        assert!(codes.iter().all(|code| code.chars().all(kebab)));
    }

    #[test]
    fn a_document_says_what_and_when() {
        let problem = Problem::new(Code::RegionsBehind, "b lags").with("behind", vec!["b"]);
        let response = problem.retry_after(5).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers()[header::RETRY_AFTER], "5");
    }
}
