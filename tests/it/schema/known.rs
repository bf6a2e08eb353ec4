//! Where the vendors' documents are known to lack something, or to be wrong.

use super::Vendor::{self, Anypoint, Okta};

/// Operations that are missing in the vendors' files, and why.
pub const NOT_IN_THE_FILES: &[(Vendor, &str, &str, &str)] = &[
    (
        Okta,
        "GET",
        "/api/v1/apps",
        "the kept part of Okta's file has app users and app groups only",
    ),
    (
        Okta,
        "GET",
        "/api/v1/apps/{appId}",
        "the kept part of Okta's file has app users and app groups only",
    ),
    (
        Okta,
        "GET",
        "/api/v1/users/me",
        "Okta's file has it as a user whose id is `me`",
    ),
    (
        Okta,
        "GET",
        "/api/v1/api-tokens",
        "the kept part of Okta's file has no API tokens",
    ),
    (
        Anypoint,
        "GET",
        "/organizations/{organizationId}",
        "the kept part of MuleSoft's file begins below it",
    ),
];

/// Known errors in the vendors' files. `("query", name)` is a parameter that they leave out. `("optional", name)` is a
/// parameter or body field that they require and the service does not. `("read_only", place)` is a field that their own
/// example sends.
pub const KNOWN_DEFECTS: &[(Vendor, &str, &str, &str, &str, &str)] = &[
    (
        Okta,
        "GET",
        "/api/v1/users/{id}/groups",
        "query",
        "after",
        "a Link to a next page is followed as it is given",
    ),
    (
        Okta,
        "PUT",
        "/api/v1/eventHooks/{eventHookId}",
        "read_only",
        ".events.filter.type",
        "the example of a request with a filter has it",
    ),
    (
        Anypoint,
        "GET",
        "/organizations/{organizationId}/users",
        "query",
        "limit",
        MISSING,
    ),
    (
        Anypoint,
        "GET",
        "/organizations/{organizationId}/users",
        "query",
        "offset",
        MISSING,
    ),
    (
        Anypoint,
        "GET",
        "/organizations/{organizationId}/users",
        "optional",
        "type",
        CONVERTED,
    ),
    (
        Anypoint,
        "GET",
        "/organizations/{organizationId}/users",
        "optional",
        "deleted",
        CONVERTED,
    ),
    (
        Anypoint,
        "GET",
        "/organizations/{organizationId}/users",
        "optional",
        "mfaVerificationExcluded",
        CONVERTED,
    ),
    (
        Anypoint,
        "GET",
        "/organizations/{organizationId}/users/{userId}/teams",
        "optional",
        "ascending",
        CONVERTED,
    ),
    (
        Anypoint,
        "GET",
        "/organizations/{organizationId}/teams",
        "optional",
        "ascending",
        CONVERTED,
    ),
    (
        Anypoint,
        "GET",
        "/organizations/{organizationId}/teams/{teamId}/members",
        "optional",
        "ascending",
        CONVERTED,
    ),
    (
        Anypoint,
        "POST",
        "/organizations/{organizationId}/users",
        "optional",
        "phoneNumber",
        DISPUTED,
    ),
    (
        Anypoint,
        "PUT",
        "/organizations/{organizationId}/users/{userId}",
        "optional",
        "firstName",
        PARTIAL,
    ),
    (
        Anypoint,
        "PUT",
        "/organizations/{organizationId}/users/{userId}",
        "optional",
        "lastName",
        PARTIAL,
    ),
    (
        Anypoint,
        "PUT",
        "/organizations/{organizationId}/users/{userId}",
        "optional",
        "email",
        PARTIAL,
    ),
    (
        Anypoint,
        "PUT",
        "/organizations/{organizationId}/users/{userId}",
        "optional",
        "phoneNumber",
        PARTIAL,
    ),
    (
        Anypoint,
        "PUT",
        "/organizations/{organizationId}/users/{userId}",
        "optional",
        "enabled",
        PARTIAL,
    ),
    (
        Anypoint,
        "PUT",
        "/organizations/{organizationId}/users/{userId}",
        "optional",
        "properties",
        PARTIAL,
    ),
    (
        Anypoint,
        "PUT",
        "/organizations/{organizationId}/users/{userId}",
        "optional",
        "ipAllowlistExcluded",
        PARTIAL,
    ),
    (
        Anypoint,
        "POST",
        "/v2/oauth2/token",
        "body",
        "",
        "the file has no request body for the token endpoint",
    ),
];
pub const MISSING: &str = "the endpoint takes it, the file leaves it out";
pub const CONVERTED: &str = "demanded by a conversion of the file; it has a default";
pub const PARTIAL: &str =
    "the list is that of the example; MuleSoft's knowledge base shows partial bodies";
pub const DISPUTED: &str =
    "the list was derived from an example; MuleSoft's own clients leave it out";
