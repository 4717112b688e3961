from __future__ import annotations

import pytest

from refresher.emulator.expressions import BINDING, CONDITION, MAPPING, ExpressionError, check, convert_json, evaluate

AWS = {
    "assertion": {
        "arn": "arn:aws:sts::999999999999:assumed-role/worker/session",
        "account": "999999999999",
        "userid": "A:s",
    }
}
AZURE = {
    "assertion": {
        "sub": "8f0e", "groups": ["admins", "g-17"], "tid": "t", "email_verified": True, "preferred_username": "a::b",
        "kubernetes.io": {"namespace": "web", "serviceaccount": {"name": "front"}},
    }
}  # fmt: skip

DOCUMENTED = [
    # examples of Google's guides to attribute mapping and conditions, with their documented values
    (MAPPING, AZURE, "assertion.sub", "8f0e"),
    (MAPPING, AZURE, "assertion['sub']", "8f0e"),
    (MAPPING, AZURE, "assertion['kubernetes.io']['namespace']", "web"),
    (MAPPING, AZURE, "'gcp::' + assertion.tid + '::' + assertion.sub", "gcp::t::8f0e"),
    (
        MAPPING,
        AZURE,
        "assertion['kubernetes.io'].namespace + '/' + assertion['kubernetes.io'].serviceaccount.name",
        "web/front",
    ),
    (MAPPING, AZURE, "assertion.groups", ["admins", "g-17"]),
    (MAPPING, AZURE, "assertion.preferred_username.split('::')[1]", "b"),
    (MAPPING, AZURE, "assertion.groups.join(',')", "admins,g-17"),
    (MAPPING, AZURE, "{'8f0e': 'alice', '1c2d': 'bob'}[assertion.sub]", "alice"),
    (MAPPING, AZURE, "has(assertion.department) ? assertion.department : 'none'", "none"),
    (MAPPING, AZURE, "assertion.groups.filter(g, g.startsWith('g-')).join(',')", "g-17"),
    (MAPPING, AZURE, "assertion.groups.map(g, g + '!')[0]", "admins!"),
    (MAPPING, AWS, "assertion.arn.extract('assumed-role/{role}/')", "worker"),
    (
        MAPPING,
        AWS,
        (
            "assertion.arn.contains('assumed-role') ? "
            "assertion.arn.extract('{account_arn}assumed-role/') + 'assumed-role/' + "
            "assertion.arn.extract('assumed-role/{role_name}/') : assertion.arn"
        ),
        "arn:aws:sts::999999999999:assumed-role/worker",
    ),
    (CONDITION, AWS | {"google": {}, "attribute": {}}, "assertion.account == '999999999999'", True),
    (CONDITION, AZURE | {"google": {"groups": ["admins"]}, "attribute": {}}, "'admins' in google.groups", True),
    (CONDITION, AZURE | {"google": {}, "attribute": {"env": "prod"}}, "attribute.env in ['prod', 'stage']", True),
    (CONDITION, AZURE | {"google": {}, "attribute": {}}, "assertion.email_verified == true", True),
    (CONDITION, AZURE | {"google": {}, "attribute": {}}, "assertion.groups.exists(g, g == 'g-17')", True),
    (
        CONDITION,
        AZURE | {"google": {"subject": "8f0e"}, "attribute": {}},
        "google.subject.matches('^[0-9a-f]+$')",
        True,
    ),
    (
        CONDITION,
        AZURE | {"google": {}, "attribute": {}},
        "!('admins' in assertion.groups) || assertion.tid == 'x'",
        False,
    ),
]


@pytest.mark.parametrize(("scope", "values", "expression", "expected"), DOCUMENTED)
def test_documented_examples_behave_as_documented(
    scope: str, values: dict[str, object], expression: str, expected: object
) -> None:
    """Google's own examples of mappings and conditions have the values of the guides."""
    assert evaluate(expression, scope, values) == expected


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        # https://cloud.google.com/iam/docs/conditions-attribute-reference#extract, its table of examples
        ("/order_date={date}/", "2019-11-03"),
        ("buckets/{name}/", "acme-orders-aaa"),
        ("/orders/{empty}order_date", ""),
        ("{start}/objects/data_lake", "projects/_/buckets/acme-orders-aaa"),
        ("orders/{end}", "order_date=2019-11-03/aef87g87ae0876"),
        ("{all}", "projects/_/buckets/acme-orders-aaa/objects/data_lake/orders/order_date=2019-11-03/aef87g87ae0876"),
        ("/orders/{none}/order_date=", ""),
        ("/orders/order_date=2019-11-03/{id}/data_lake", ""),
        ("no placeholder", ""),
    ],
)
def test_extract_returns_what_its_template_matches(template: str, expected: str) -> None:
    """`extract` behaves as in the documentation's table, and returns an empty text if the template does not match."""
    name = "projects/_/buckets/acme-orders-aaa/objects/data_lake/orders/order_date=2019-11-03/aef87g87ae0876"

    assert evaluate(f"assertion.name.extract('{template}')", MAPPING, {"assertion": {"name": name}}) == expected


@pytest.mark.parametrize(
    "expression",
    ["assertion.absent", "assertion.sub.size", "assertion.number.startsWith('1')", "assertion.list[7]", "1 / 0"],
)
def test_failing_expression_has_no_value(expression: str) -> None:
    """An expression that fails has no value; the error's text is not its value."""
    with pytest.raises(ExpressionError):
        evaluate(expression, MAPPING, {"assertion": {"sub": "a", "number": 1, "list": []}})


@pytest.mark.parametrize(
    ("expression", "scope"),
    [
        ("", MAPPING),
        ("assertion.", MAPPING),
        ("google.subject", MAPPING),
        ("nothing", CONDITION),
        ("assertion", BINDING),
    ],
)
def test_expression_must_compile_in_its_scope(expression: str, scope: str) -> None:
    """A mapping can only read `assertion`; a binding can read neither `assertion` nor `google`."""
    with pytest.raises(ExpressionError):
        check(expression, scope)


def test_type_of_an_expression_is_known() -> None:
    """Whether an expression is a boolean is known before its evaluation."""
    assert check("assertion.sub == 'a'", CONDITION) == "BOOL"
    assert check("'a'", MAPPING) == "STRING"
    assert check("assertion.sub", MAPPING) == "DYN"


@pytest.mark.parametrize("value", [2**63, -(2**70), 10**400, "\ud800", {"\ud800": ["\ud800"]}, None, 1.5, True])
def test_any_json_is_converted(value: object) -> None:
    """Numbers beyond CEL's integers and invalid texts are converted; no JSON value fails."""
    assert evaluate("has(assertion.x)", MAPPING, {"assertion": convert_json({"x": value})}) is True
