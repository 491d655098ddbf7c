"""Drives a twin with Python's own XML-RPC client: what spacecmd sees. argv: URL. Prints "ok", or fails."""
import sys
import time
import urllib.error
import urllib.request
import xmlrpc.client

URL = sys.argv[1]
FIRST = 1000010000
server = xmlrpc.client.ServerProxy(URL)


def fault(code, text, call, *args):
    try:
        result = call(*args)
    except xmlrpc.client.Fault as error:
        assert error.faultCode == code, (error, code)
        assert text in error.faultString, (error, text)
    else:
        raise AssertionError(f"no fault but {result!r}")


def post(body, headers={}):
    request = urllib.request.Request(URL, data=body.encode(), headers=headers)
    with urllib.request.urlopen(request) as response:
        return response.status, response.headers["content-type"], response.read().decode()


# The order of spacecmd: version, cached session, login.
assert float(server.api.getVersion()) >= 10.8
assert "Uyuni" in server.api.systemVersion()
assert server.api.productName() == "Uyuni"
fault(-1, "com.redhat.rhn.common.hibernate.LookupException: Could not find session with id: 999",
      server.user.listAssignableRoles, "999x" + "0" * 64 + "\n")
key = server.auth.login("admin", "admin")
assert "org_admin" in server.user.listAssignableRoles(key)
assert server.auth.login("ADMIN", "admin", 60) != key
fault(-1, "session duration cannot exceed", server.auth.login, "admin", "admin", 3601)
fault(2950, "redstone.xmlrpc.XmlRpcFault: Either the password or username is incorrect.", server.auth.login, "admin", "x")
fault(2950, "", server.auth.login, "nobody", "admin")
forged = key[:-1] + ("0" if key[-1] != "0" else "1")
fault(-1, "InvalidSessionIdException: Session id: " + key.split("x")[0] + " is not valid.", server.system.listSystems, forged)

# Types: ints, booleans, dates without a zone, text with markup.
systems = server.system.listSystems(key + "\n")
assert [its["id"] for its in systems] == [FIRST + 1, FIRST], systems
assert isinstance(systems[0]["last_checkin"], xmlrpc.client.DateTime), systems
assert str(systems[0]["last_checkin"]) == "20260701T14:00:00", systems
assert systems == server.system.list_systems(key)
details = server.system.getDetails(key, FIRST)
assert details["profile_name"] == "b <&> ü", details
assert details["auto_update"] is False and details["addon_entitlements"] == [], details
assert "virtualization" not in details and None not in details.values()
assert server.system.getId(key, "  b <&> ü ")[0]["id"] == FIRST
assert server.system.setProfileName(key, FIRST, 4711) == 1  # an integer becomes text …
assert server.system.getName(key, FIRST)["name"] == "4711"
fault(-1, "com.redhat.rhn.common.translation.TranslationException", server.system.getDetails, key, str(FIRST))  # … never back
fault(-1, "TranslationException", server.system.listSystems, "no key")
fault(-1, "java.lang.SecurityException: The listSystems API is not available for unauthenticated users.",
      server.system.listSystems, 1)  # an integer becomes the user with that id, but is no login
fault(-1, "TranslationException", server.system.listSystems, 99)
assert [its["label"] for its in server.channel.listAllChannels(key)] == ["base"]
fault(-208, "redstone.xmlrpc.XmlRpcFault: No such system", server.system.getDetails, key, 5)
fault(-213, "", server.system.listUserSystems, key, "nobody")
fault(1003, "5", server.system.deleteSystems, key, [5])
assert server.system.deleteSystems(key, FIRST + 1, "NO_CLEANUP") == 1  # an integer becomes a list
for _ in range(100):  # it is queued
    if len(server.system.listSystems(key)) == 1:
        break
    time.sleep(0.05)
assert len(server.system.listSystems(key)) == 1

# Names that do not exist.
assert post("<methodCall><methodName>no.such</methodName></methodCall>")[2].endswith(
    "<fault><value><struct><member><name>faultCode</name><value><int>-1</int></value></member>"
    "<member><name>faultString</name><value><string>The specified handler cannot be found</string></value></member>"
    "</struct></value></fault></methodResponse>")
fault(-1, "The specified handler cannot be found", server.getVersion)
fault(-1, "The specified handler cannot be found", server.system.config.listChannels, key)
fault(-1, "redstone.xmlrpc.XmlRpcFault: Could not find method: getVersion in class: "
      "com.redhat.rhn.frontend.xmlrpc.api.ApiHandler with params: [java.lang.String]", server.api.getVersion, "x")
fault(-1, "Could not find method: listSystems in class: com.redhat.rhn.frontend.xmlrpc.system.SystemHandler with params: "
      "[com.redhat.rhn.domain.user.legacy.UserImpl, java.lang.Integer, redstone.xmlrpc.XmlRpcArray]",
      server.system.listSystems, key, 1, [])
fault(-1, "Could not find method: constructor", server.system.constructor, key)

# What is no call: an empty page; what is no POST: a redirect.
for body in ("", "<methodCall>", "<methodCall><methodName>api.getVersion</methodName><params><param><value><i4>2147483648"
             "</i4></value></param></params></methodCall>"):
    assert post(body) == (200, "text/xml;charset=UTF-8", ""), body


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args):
        return None


for data, headers in ((None, {}), (b"<x/>", {"SOAPAction": "x"})):
    try:
        urllib.request.build_opener(NoRedirect).open(urllib.request.Request(URL, data=data, headers=headers))
        raise AssertionError("no redirect")
    except urllib.error.HTTPError as error:
        assert (error.code, error.headers["location"]) == (302, "/rhn/apidoc/index.jsp"), error

# The end of a session, in the two forms of its fault.
assert server.auth.logout(key) == 1
fault(-1, "com.redhat.rhn.common.hibernate.LookupException: Could not find session", server.system.listSystems, key)
fault(-1, "redstone.xmlrpc.XmlRpcFault: unhandled internal exception: Could not find session", server.auth.logout, key)
print("ok")
