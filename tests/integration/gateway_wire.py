"""Drives the gateway with Python's own XML-RPC client: what spacecmd sees of a cluster.

argv: URL and the name of a step. The first step prints what the others find in the variable BEFORE, as JSON.
No step may take longer than LIMIT: a dead node never hangs a call.
"""
import json
import os
import socket
import sys
import urllib.error
import urllib.request
import xmlrpc.client

URL, STEP = sys.argv[1:]
LIMIT = 20
FIRST = 1000010000
NO_KEY = "7x" + "0" * 64
HANDLER = "redstone.xmlrpc.XmlRpcFault: "
INSIDE = HANDLER + "unhandled internal exception: "
LOOKUP = "com.redhat.rhn.common.hibernate.LookupException: "
TRANSLATION = "com.redhat.rhn.common.translation.TranslationException: "
socket.setdefaulttimeout(LIMIT)
server = xmlrpc.client.ServerProxy(URL)


def fault(code, start, call, *args):
    try:
        result = call(*args)
    except xmlrpc.client.Fault as error:
        assert error.faultCode == code, (error, code)
        assert error.faultString.startswith(start), (error, start)
        return error.faultString
    raise AssertionError(f"no fault but {result!r}")


def open_url(request):
    class NoRedirect(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *args):
            return None

    try:
        with urllib.request.build_opener(NoRedirect).open(request) as response:
            return response.status, response.headers, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, ""


def missing(method, *args):
    """The nodes whose part of an answer is missing."""
    body = xmlrpc.client.dumps(args, method).encode()
    return open_url(urllib.request.Request(URL, data=body))[1]["x-salar-missing"]


def ids(systems):
    return {its["name"]: its["id"] for its in systems}


def whole_cluster():
    # The order of spacecmd: version, cached session, login.
    assert float(server.api.getVersion()) >= 10.8
    assert server.api.getVersion() == server.api.getVersion(NO_KEY) == "28"  # the lowest of 29, 28 and 29
    assert "Uyuni" in server.api.systemVersion()
    fault(-1, LOOKUP + "Could not find session with id: 7", server.system.listSystems, NO_KEY + "\n")
    key = server.auth.login("admin", "admin")
    assert server.auth.login("ADMIN", "admin", 60) != key

    systems = server.system.listSystems(key + "\n")
    assert [its["name"] for its in systems] == ["app", "db", "web <&> ü"], systems
    assert len(set(ids(systems).values())) == 3 and all(FIRST <= id < 2**31 for id in ids(systems).values())
    assert str(systems[0]["last_checkin"]) == "20260701T14:00:00", systems  # a node's own time zone, as it came
    assert server.system.listUserSystems(key) == server.system.listUserSystems(key, "admin") == systems
    assert server.system.list_systems(key) == systems
    for name, id in ids(systems).items():
        details = server.system.getDetails(key, id)
        assert (details["id"], details["profile_name"]) == (id, name), details
        assert details["auto_update"] is False and details["addon_entitlements"] == [], details
        assert [its["id"] for its in server.system.getId(key, f" {name} ")] == [id]
    channels = server.channel.listAllChannels(key)
    assert [its["label"] for its in channels] == ["base", "extra"], channels
    assert len({its["id"] for its in channels}) == 2, channels
    assert missing("system.listSystems", key) is None
    return {"key": key, "ids": ids(systems), "channels": {its["label"]: its["id"] for its in channels}}


def faults():
    key = server.auth.login("admin", "admin")
    number = key.split("x")[0]
    forged = key[:-1] + ("0" if key[-1] != "0" else "1")
    # The gateway's own.
    assert fault(-1, "", server.no.such) == "The specified handler cannot be found"
    assert fault(-1, "", server.getVersion) == "The specified handler cannot be found"
    fault(-1, HANDLER + "Could not find method: getVersion in class: com.redhat.rhn.frontend.xmlrpc.api.ApiHandler "
          "with params: [java.lang.String]", server.api.getVersion, "x")
    fault(-1, HANDLER + "Could not find method: listSystems in class: com.redhat.rhn.frontend.xmlrpc.system.SystemHandler "
          "with params: [com.redhat.rhn.domain.user.legacy.UserImpl, java.lang.Integer, redstone.xmlrpc.XmlRpcArray]",
          server.system.listSystems, key, 1, [])
    fault(-1, TRANSLATION, server.system.listSystems, "no key")
    fault(-1, TRANSLATION, server.system.getDetails, key, str(FIRST))
    fault(-1, "java.lang.SecurityException: The listSystems API is not available for unauthenticated users.",
          server.system.listSystems, 1)
    fault(-1, f"com.redhat.rhn.domain.session.InvalidSessionIdException: Session id: {number} is not valid.",
          server.system.listSystems, forged)
    fault(-1, INSIDE + f"Session id: {number} is not valid.", server.auth.logout, forged)
    fault(-208, HANDLER + "No such system", server.system.getDetails, key, FIRST)
    # The nodes'.
    fault(2950, HANDLER + "Either the password or username is incorrect.", server.auth.login, "admin", "x")
    fault(2950, HANDLER, server.auth.login, "nobody", "admin")
    fault(-1, INSIDE + "The session duration cannot exceed", server.auth.login, "admin", "admin", 3601)
    fault(-1, TRANSLATION, server.auth.login, "admin", "admin", "60")
    fault(-213, HANDLER, server.system.listUserSystems, key, "nobody")
    # What is no call: an empty page; what is no POST: a redirect.
    int32 = "<params><param><value><i4>2147483648</i4></value></param></params>"
    for body in ("", "<methodCall>", f"<methodCall><methodName>api.getVersion</methodName>{int32}</methodCall>"):
        status, headers, text = open_url(urllib.request.Request(URL, data=body.encode()))
        assert (status, headers["content-type"], text) == (200, "text/xml;charset=UTF-8", ""), body
    for request in (urllib.request.Request(URL), urllib.request.Request(URL, data=b"<x/>", headers={"SOAPAction": "x"})):
        status, headers, _ = open_url(request)
        assert (status, headers["location"]) == (302, "/rhn/apidoc/index.jsp")
    # The end of a session.
    assert server.auth.logout(key) == 1
    fault(-1, LOOKUP + "Could not find session with id: " + number, server.system.listSystems, key)
    fault(-1, INSIDE + "Could not find session with id: " + number, server.auth.logout, key)


def half_dead(before):
    """node-2 hangs, node-3 is gone."""
    key, known = before["key"], before["ids"]
    assert server.api.getVersion() == "29"
    assert ids(server.system.listSystems(key)) == {"web <&> ü": known["web <&> ü"]}
    assert missing("system.listSystems", key) == "node-2 node-3"
    assert [its["id"] for its in server.channel.listAllChannels(key)] == [before["channels"]["base"]]
    assert server.system.getDetails(key, known["web <&> ü"])["minion_id"] == "web"
    for name, node in (("app", "node-2"), ("db", "node-3")):
        text = fault(-1, INSIDE, server.system.getDetails, key, known[name])
        assert text.endswith(f'Cannot call system.getDetails: node "{node}" does not answer'), text
    fault(2950, HANDLER, server.auth.login, "admin", "x")
    fresh = server.auth.login("admin", "admin")
    assert ids(server.system.listSystems(fresh)) == {"web <&> ü": known["web <&> ü"]}
    assert server.auth.logout(fresh) == 1


def moved(before):
    """`app` went from node-2, which still hangs, to node-1; the gateway was started anew."""
    key, known = before["key"], before["ids"]
    now = ids(server.system.listSystems(key))
    assert now == {name: known[name] for name in ("app", "web <&> ü")}, (now, known)
    details = server.system.getDetails(key, known["app"])
    assert (details["id"], details["minion_id"]) == (known["app"], "app"), details


def nobody_there(before):
    says = INSIDE + "Cannot call "
    for call, args in ((server.api.getVersion, ()), (server.auth.login, ("admin", "admin")),
                       (server.system.listSystems, (before["key"],))):
        text = fault(-1, says, call, *args)
        assert text.endswith("no node of the cluster answers"), text


if STEP == "whole_cluster":
    json.dump(whole_cluster(), sys.stdout)
elif STEP == "faults":
    faults()
else:
    {"half_dead": half_dead, "moved": moved, "nobody_there": nobody_there}[STEP](json.loads(os.environ["BEFORE"]))
