-- Every source on this machine and at STS and SSO, with a real file, process or HTTP endpoint.
local t = require "t.credentials"
local shared = require "unit.remote.home"(_ENV)
local ID, SECRET, TOKEN, FAR, write = shared.ID, shared.SECRET, shared.TOKEN, shared.FAR, shared.write
local read, open, server, failure, json_set = shared.read, shared.open, shared.server, shared.failure, shared.json_set
local config, script = shared.config, shared.script

describe("credentials", function()
  describe("explicit", function()
    it("win over the environment, without a thread or a fetch", function()
      local b = open({ AWS_ACCESS_KEY_ID = "other", AWS_SECRET_ACCESS_KEY = "x" },
        { access_key = ID, secret_key = SECRET, session_token = TOKEN })
      assert.same({ access_key = ID, secret_key = SECRET, session_token = TOKEN, source = "explicit", expires_ms = 0 }, b:get())
      assert.equal(0, b:stats().fetches)
      assert.is_false(b:refused())
    end)

    it("must be fit for a header", function()
      assert.equal("the explicit credentials cannot be used: the access key holds a byte that cannot be in a header, at position 2",
        failure(open({}, { access_key = "A B", secret_key = SECRET })))
    end)
  end)

  describe("of the environment", function()
    it("are taken with token and account", function()
      local b = open { AWS_ACCESS_KEY_ID = ID, AWS_SECRET_ACCESS_KEY = SECRET, AWS_SESSION_TOKEN = TOKEN, AWS_ACCOUNT_ID = "123456789012" }
      assert.same({ access_key = ID, secret_key = SECRET, session_token = TOKEN, account = "123456789012",
        source = "environment", expires_ms = 0 }, b:get())
      assert.equal(0, b:stats().fetches)
    end)

    it("win over AWS_PROFILE, not over an explicit profile", function()
      write(shared.home .. "/.aws/credentials", "[dev]\naws_access_key_id = AKDEV\naws_secret_access_key = s")
      local env = { AWS_ACCESS_KEY_ID = ID, AWS_SECRET_ACCESS_KEY = SECRET, AWS_PROFILE = "dev" }
      assert.equal(ID, open(env):get().access_key)
      assert.equal("AKDEV", open(env, { profile = "dev" }):get().access_key)
    end)

    it("count as unset when blank", function()
      write(shared.home .. "/.aws/credentials", "[default]\naws_access_key_id = AKFILE\naws_secret_access_key = s")
      assert.equal("AKFILE", open({ AWS_ACCESS_KEY_ID = "  ", AWS_SECRET_ACCESS_KEY = "" }):get().access_key)
    end)

    it("must be whole: the missing variable is named and nothing else is asked", function()
      assert.equal("a source of credentials failed\n  environment: AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not",
        failure(open { AWS_ACCESS_KEY_ID = ID }))
      assert.equal("a source of credentials failed\n  environment: AWS_SECRET_ACCESS_KEY is set, but AWS_ACCESS_KEY_ID is not",
        failure(open { AWS_SECRET_ACCESS_KEY = SECRET }))
    end)

    it("cannot smuggle header lines", function()
      assert.matches("environment: the access key holds a byte that cannot be in a header, at position 5$",
        failure(open { AWS_ACCESS_KEY_ID = "AKIA\r\nX: y", AWS_SECRET_ACCESS_KEY = SECRET }))
    end)
  end)

  it("that no source has: one message says which were asked and why each has none", function()
    assert.equal("no credentials were found\n" ..
      "  environment: AWS_ACCESS_KEY_ID is not set\n" ..
      "  profile default: is neither in " .. shared.home .. "/.aws/config nor in " .. shared.home .. "/.aws/credentials\n" ..
      "  web identity: AWS_WEB_IDENTITY_TOKEN_FILE is not set\n" ..
      "  container: neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor _FULL_URI is set\n" ..
      "  instance metadata: disabled by AWS_EC2_METADATA_DISABLED", failure(open {}))
    config "\n[default]\nregion = eu-west-1"
    assert.matches("\n  profile default: has no credentials %(" .. shared.home .. "/.aws/config:2%)\n", failure(open {}))
    assert.matches("\n  environment: not asked, a profile is named explicitly\n", failure(open({}, { profile = "default" })))
  end)

  describe("of a profile", function()
    it("are static keys, those of the credentials file first, without a fetch", function()
      config "[profile dev]\naws_access_key_id = CONF\naws_secret_access_key = x"
      write(shared.home .. "/.aws/credentials", ("[dev]\naws_access_key_id = %s\naws_secret_access_key = %s\naws_session_token = %s")
        :format(ID, SECRET, TOKEN))
      local b = open { AWS_PROFILE = "dev" }
      assert.same({ access_key = ID, secret_key = SECRET, session_token = TOKEN, source = "profile dev", expires_ms = 0 }, b:get())
      assert.equal(0, b:stats().fetches)
    end)

    it("must be whole", function()
      config "[default]\naws_access_key_id = X"
      assert.matches("profile default %(.*/config:2%): aws_access_key_id is set, but aws_secret_access_key is not$", failure(open {}))
      config("[default]\naws_secret_access_key = " .. SECRET)
      assert.matches("config:2%): aws_secret_access_key is set, but aws_access_key_id is not$", failure(open {}))
    end)

    it("must be fit for a header", function()
      config("[default]\naws_access_key_id = A B\naws_secret_access_key = " .. SECRET)
      assert.matches("profile default %(.*config:2%): the access key holds a byte", failure(open {}))
    end)

    it("that need aws login are refused by name", function()
      config "[default]\nlogin_session = arn:aws:x"
      assert.matches("config:2%): login_session is not supported$", failure(open {}))
    end)
  end)

  describe("of a process", function()
    local function process(text, words)
      config("[default]\ncredential_process = " .. script("tool", text) .. (words or ""))
      return open {}
    end
    local function printing(fields, words)
      write(shared.home .. "/out", json_set(fields))
      return process("cat " .. shared.home .. "/out", words)
    end

    it("are what it prints", function()
      local b = printing { Version = 1, AccessKeyId = ID, SecretAccessKey = SECRET, SessionToken = TOKEN, Expiration = FAR, AccountId = "12" }
      assert.same({ access_key = ID, secret_key = SECRET, session_token = TOKEN, account = "12",
        source = "profile default: credential_process", expires_ms = 7226582400000 }, b:wait())
      assert.equal(1, b:stats().fetches)
    end)

    it("may lack token and expiration", function()
      local c = printing({ Version = 1, AccessKeyId = ID, SecretAccessKey = SECRET }):wait()
      assert.same({ access_key = ID, secret_key = SECRET, source = "profile default: credential_process", expires_ms = 0 }, c)
    end)

    it("gets its words as a shell would split them, but there is no shell", function()
      local b = process([[for a in "$@"; do printf '[%s]' "$a"; done >]] .. shared.home .. [[/args; exit 1]],
        [[ plain "two words" 'sin"gle $HOME' a\ b "q\"uo\\te\n" '' a;b > x | $(y)]])
      failure(b)
      assert.equal([=[[plain][two words][sin"gle $HOME][a b][q"uo\te\n][]]=] .. "[a;b][>][x][|][$(y)]", (read(shared.home .. "/args")))
    end)

    it("has no open input and no blocked signals", function()
      failure(process("read x; echo \"got:$x\" >" .. shared.home .. "/in; grep SigBlk /proc/self/status >>" .. shared.home .. "/in; exit 1"))
      assert.equal("got:\nSigBlk:\t0000000000000000\n", read(shared.home .. "/in"))
    end)

    it("that fails is named with file, line, status and what it said on stderr", function()
      assert.matches("profile default: profile default %(" .. shared.home .. "/.aws/config:2%): credential_process " .. shared.home ..
        "/tool: exit status 3: no such vault really$", failure(process "printf 'no such vault\\n\\033really\\n' >&2; exit 3"):gsub("%?", ""))
      assert.matches("was killed by signal 9$", failure(process "kill -9 $$"))
      config "[default]\ncredential_process = /nowhere/tool x"
      assert.matches("credential_process /nowhere/tool: cannot start /nowhere/tool: No such file or directory$", failure(open {}))
      config "[default]\ncredential_process = tool 'x"
      assert.matches("config:2%): credential_process: a quote is not closed$", failure(open {}))
    end)

    it("must print what is agreed", function()
      assert.matches("its output is not a JSON object$", failure(process("echo '" .. SECRET .. "'")))
      assert.matches("its output lacks Version$", failure(printing { AccessKeyId = ID, SecretAccessKey = SECRET }))
      assert.matches("the Version of its output is not 1$", failure(printing { Version = 2, AccessKeyId = ID, SecretAccessKey = SECRET }))
      assert.matches("AccessKeyId is missing$", failure(printing { Version = 1, SecretAccessKey = SECRET }))
      assert.matches("SecretAccessKey is missing$", failure(printing { Version = 1, AccessKeyId = ID, SecretAccessKey = "" }))
      assert.matches("AccessKeyId is no text but number$", failure(printing { Version = 1, AccessKeyId = 1, SecretAccessKey = SECRET }))
      assert.matches("Expiration 'soon' is not a time as", failure(printing { Version = 1, AccessKeyId = ID, SecretAccessKey = SECRET, Expiration = "soon" }))
      assert.matches("have expired already, at 2020%-01%-01T00:00:00.000Z$",
        failure(printing { Version = 1, AccessKeyId = ID, SecretAccessKey = SECRET, Expiration = "2020-01-01T00:00:00Z" }))
      assert.matches("the output is larger than 65536 bytes$", failure(process "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done"))
    end)

    it("may leave a child behind that keeps its output open", function()
      write(shared.home .. "/out", json_set { Version = 1, AccessKeyId = ID, SecretAccessKey = SECRET })
      local b = process("cat " .. shared.home .. "/out; sleep 30 & echo $! >" .. shared.home .. "/pid")
      assert.equal(ID, b:wait().access_key)
      os.execute("kill $(cat " .. shared.home .. "/pid)")
    end)

    it("that hangs is killed with its children when the store closes", function()
      local b = process("sleep 60 & echo $! >" .. shared.home .. "/pid.new; mv " .. shared.home .. "/pid.new " .. shared.home .. "/pid; wait")
      assert.equal("wait", b:get())
      while not read(shared.home .. "/pid") do os.execute "sleep 0.01" end
      local pid = read(shared.home .. "/pid"):match "%d+"
      assert.is_true(b:forget())
      local before = t.mono_ms()
      b:close()
      shared.closed_here()
      assert.is_true(t.mono_ms() - before < 5000)
      local state
      repeat state = (read("/proc/" .. pid .. "/stat") or ""):match "%) (%a)" until not state or state == "Z"
    end)
  end)

  -- ==== STS ====

  local function sts_answer(action, id, seconds)
    return ([[<%sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%sResult><AssumedRoleUser>
      <Arn>arn:aws:sts::123456789012:assumed-role/r/s</Arn><AssumedRoleId>x</AssumedRoleId></AssumedRoleUser><Credentials>
      <AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken>%s</SessionToken>
      <Expiration>%s</Expiration></Credentials></%sResult></%sResponse>]])
      :format(action, action, id, SECRET, TOKEN, seconds or FAR, action, action)
  end
  local function sts_error(code, message)
    return ("<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>r</RequestId></ErrorResponse>")
      :format(code, message)
  end

  describe("of a role", function()
    it("are got from STS with a request signed by the source profile", function()
      local s, url = server()
      s:reply("POST / ", { body = sts_answer("AssumeRole", "ASIAROLE") })
      config(("[profile base]\naws_access_key_id = %s\naws_secret_access_key = %s\naws_session_token = %s\n" ..
        "[profile app]\nrole_arn = arn:aws:iam::123456789012:role/app\nsource_profile = base\nexternal_id = a/b c\n" ..
        "duration_seconds = 1800\nrole_session_name = me@x"):format(ID, SECRET, TOKEN))
      local b = open { AWS_PROFILE = "app", AWS_ENDPOINT_URL_STS = url }
      local c = b:wait()
      assert.same({ "ASIAROLE", SECRET, TOKEN, "123456789012" }, { c.access_key, c.secret_key, c.session_token, c.account })
      assert.equal("profile app: role arn:aws:iam::123456789012:role/app through profile base", c.source)
      local sent = s:requests()[1]
      assert.matches("\r\n\r\nAction=AssumeRole&Version=2011%-06%-15&RoleArn=arn%%3Aaws%%3Aiam%%3A%%3A123456789012%%3Arole%%2Fapp" ..
        "&RoleSessionName=me%%40x&DurationSeconds=1800&ExternalId=a%%2Fb%%20c$", sent)
      assert.matches("\r\nAuthorization: AWS4%-HMAC%-SHA256 Credential=" .. ID .. "/%d+/eu%-west%-1/sts/aws4_request, " ..
        "SignedHeaders=content%-type;host;x%-amz%-date;x%-amz%-security%-token, Signature=%x+\r\n", sent)
      assert.is_truthy(sent:find("\r\nX-Amz-Security-Token: " .. TOKEN .. "\r\n", 1, true))
      assert.equal("sts", t.verify(sent, SECRET))
      local _, why = t.verify(sent, SECRET .. "x")
      assert.matches("signature", why)
    end)

    it("are asked for in the instance's region when none is set, at an endpoint with a path", function()
      local s, url = server()
      s:reply("POST /sts%20x/ ", { body = sts_answer("AssumeRole", "ASIAROLE") })
      s:reply("PUT", { body = "t" })
      s:reply("GET /latest/meta-data/placement/region ", { body = "eu-south-1" })
      config "[default]\nrole_arn = arn:aws:iam::1:role/x\ncredential_source = Environment"
      local env = { AWS_ENDPOINT_URL_STS = url .. "/sts%20x", AWS_ACCESS_KEY_ID = ID, AWS_SECRET_ACCESS_KEY = SECRET, AWS_REGION = " " }
      env.AWS_EC2_METADATA_SERVICE_ENDPOINT = url
      assert.equal("ASIAROLE", open(env, { profile = "default" }):wait().access_key)
      assert.matches("Credential=" .. ID .. "/%d+/eu%-south%-1/sts/aws4_request", s:requests()[3])
      assert.equal("sts", t.verify(s:requests()[3], SECRET))
      env.AWS_EC2_METADATA_SERVICE_ENDPOINT, env.AWS_EC2_METADATA_DISABLED = nil, "true"
      assert.matches("through environment: no region is set: set AWS_REGION", failure(open(env, { profile = "default" })))
    end)

    it("may be chained, each signed by the one before", function()
      local s, url = server()
      s:reply("POST / ", { body = sts_answer("AssumeRole", "ASIAONE"), times = 1 })
      s:reply("POST / ", { body = sts_answer("AssumeRole", "ASIATWO") })
      config("[profile one]\nrole_arn = arn:aws:iam::1:role/one\ncredential_source = Environment\n" ..
        "[default]\nrole_arn = arn:aws:iam::1:role/two\nsource_profile = one")
      local b = open({ AWS_ENDPOINT_URL = url, AWS_ACCESS_KEY_ID = ID, AWS_SECRET_ACCESS_KEY = SECRET }, { profile = "default" })
      local c = b:wait()
      assert.equal("ASIATWO", c.access_key)
      assert.equal("profile default: role arn:aws:iam::1:role/two through profile one: role arn:aws:iam::1:role/one through environment", c.source)
      assert.matches("Credential=" .. ID .. "/", s:requests()[1])
      assert.matches("Credential=ASIAONE/", s:requests()[2])
    end)

    it("may begin with instance metadata", function()
      local s, url = server()
      s:reply("PUT", { body = "t" })
      s:reply("GET /latest/meta-data/iam/security-credentials/ ", { body = "r" })
      s:reply("GET /latest/meta-data/iam/security-credentials/r ", { body = json_set { AccessKeyId = "ASIAIMDS", SecretAccessKey = SECRET, Token = TOKEN } })
      s:reply("POST / ", { body = sts_answer("AssumeRole", "ASIAROLE") })
      config "[default]\nrole_arn = arn:aws:iam::1:role/x\ncredential_source = Ec2InstanceMetadata"
      local c = open({ AWS_ENDPOINT_URL = url, AWS_EC2_METADATA_SERVICE_ENDPOINT = url }):wait()
      assert.same({ "ASIAROLE", "profile default: role arn:aws:iam::1:role/x through IMDSv2 role r" }, { c.access_key, c.source })
      assert.matches("Credential=ASIAIMDS/", s:requests()[4])
    end)

    it("may be its own source when it holds keys; keys of the profile itself do not count otherwise", function()
      local s, url = server()
      s:reply("POST / ", { body = sts_answer("AssumeRole", "ASIAROLE") })
      config(("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = default")
        :format(ID, SECRET))
      assert.equal("ASIAROLE", open({ AWS_ENDPOINT_URL = url }):wait().access_key)
      config(("[default]\naws_access_key_id = OWN\naws_secret_access_key = x\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = b\n" ..
        "[profile b]\nrole_arn = arn:aws:iam::1:role/never\nsource_profile = b\naws_access_key_id = %s\naws_secret_access_key = y"):format(ID))
      assert.equal("ASIAROLE", open({ AWS_ENDPOINT_URL = url }):wait().access_key)
      assert.matches("Credential=" .. ID .. "/", s:requests()[2])
    end)

    local refusals = {
      { "a circle is named", "role_arn = arn:aws:iam::1:role/x\nsource_profile = b\n[profile b]\nrole_arn = arn:aws:iam::1:role/y\nsource_profile = default",
        "source_profile goes round in a circle: default %-> b %-> default$" },
      { "itself without keys is a circle", "role_arn = arn:aws:iam::1:role/x\nsource_profile = default", "circle: default %-> default$" },
      { "a source that does not exist", "role_arn = arn:aws:iam::1:role/x\nsource_profile = gone", "config:3%): there is no profile 'gone'$" },
      { "a source without credentials", "role_arn = arn:aws:iam::1:role/x\nsource_profile = b\n[profile b]\nregion = x", "config:3%): profile b has no credentials$" },
      { "two sources", "role_arn = arn:aws:iam::1:role/x\nsource_profile = b\ncredential_source = Environment", "config:2%): only one of source_profile" },
      { "no source", "role_arn = arn:aws:iam::1:role/x", "config:2%): role_arn needs source_profile, credential_source or web_identity_token_file$" },
      { "a source without a role", "source_profile = b", "profile default %(.*config:1%) lacks role_arn$" },
      { "an unknown credential_source", "role_arn = arn:aws:iam::1:role/x\ncredential_source = Moon",
        "config:3%): 'Moon' is none of Environment, Ec2InstanceMetadata, EcsContainer$" },
      { "a credential_source that has none", "role_arn = arn:aws:iam::1:role/x\ncredential_source = EcsContainer",
        "config:3%): neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor _FULL_URI is set$" },
      { "a code to type", "role_arn = arn:aws:iam::1:role/x\nsource_profile = b\nmfa_serial = arn:aws:iam::1:mfa/me",
        "config:4%): mfa_serial is not supported: the role asks for a code" },
      { "a duration out of range", "role_arn = arn:aws:iam::1:role/x\nsource_profile = b\nduration_seconds = 10",
        "config:4%): duration_seconds is not a number from 900 to 43200$" },
      { "a role that is no ARN", "role_arn = admin\ncredential_source = Environment", "'admin' is not the ARN of a role$" },
    }
    for _, case in ipairs(refusals) do
      it("is refused with the line: " .. case[1], function()
        config("[default]\n" .. case[2])
        local b = open({ AWS_ACCESS_KEY_ID = ID, AWS_SECRET_ACCESS_KEY = SECRET }, { profile = "default" })
        assert.matches(case[3], failure(b))
      end)
    end

    local function role_env(url)
      config "[default]\nrole_arn = arn:aws:iam::1:role/x\ncredential_source = Environment"
      return open({ AWS_ENDPOINT_URL_STS = url, AWS_ACCESS_KEY_ID = ID, AWS_SECRET_ACCESS_KEY = SECRET }, { profile = "default" })
    end

    it("that STS refuses is told in its words, and no other source steps in", function()
      local s, url = server()
      s:reply("POST", { status = "403", body = sts_error("AccessDenied", "User: x is not\n authorized &amp; more") })
      assert.matches("config:2%): role arn:aws:iam::1:role/x through environment: AccessDenied: User: x is not  authorized & more$",
        failure(role_env(url)))
      assert.equal(1, #s:requests())
    end)

    it("is asked again when STS stumbles", function()
      local s, url = server()
      s:reply("POST", { status = "500", body = "oops", times = 1 })
      s:reply("POST", { status = "400", body = sts_error("Throttling", "slow down"), times = 1 })
      s:reply("POST", { body = sts_answer("AssumeRole", "ASIAROLE") })
      assert.equal("ASIAROLE", role_env(url):wait().access_key)
      assert.equal(3, #s:requests())
    end)

    it("is signed with STS's clock when ours is wrong", function()
      local s, url = server()
      s:reply("POST", { status = "403", headers = "Date: Fri, 01 Jan 2100 00:00:00 GMT\r\n", times = 1,
        body = sts_error("SignatureDoesNotMatch", "Signature expired") })
      s:reply("POST", { body = sts_answer("AssumeRole", "ASIAROLE") })
      assert.equal("ASIAROLE", role_env(url):wait().access_key)
      assert.matches("X%-Amz%-Date: 21000101T0000", s:requests()[2])
    end)

    it("with an answer that is none is an error, whatever comes", function()
      for _, case in ipairs {
        { { body = "<html>" .. SECRET }, "has no Credentials$" },
        { { body = sts_answer("AssumeRole", "A"):gsub("<Expiration>.-</Expiration>", "") }, "no readable Expiration$" },
        { { body = sts_answer("AssumeRole", "A", "2020-01-01T00:00:00Z") }, "have expired already" },
        { { body = sts_answer("AssumeRole", "A&#10;B") }, "access key holds a byte" },
        { { status = "404", body = ("x"):rep(1000) }, "status 404 and no error that can be read$" },
        { { body = ("x"):rep(300000) }, "POST http://127.0.0.1:%d+/: " },
      } do
        local s, url = server()
        case[1].body = tostring(case[1].body)
        s:reply("POST", case[1])
        assert.matches(case[2], failure(role_env(url)))
      end
    end)

    it("names an endpoint that cannot be reached", function()
      local s, url = server()
      s:close()
      assert.matches("POST " .. url .. "/: .*127.0.0.1", failure(role_env(url)))
    end)
  end)

  describe("of a web identity", function()
    local function env(url)
      write(shared.home .. "/jwt", "JWT-secret\n")
      return { AWS_WEB_IDENTITY_TOKEN_FILE = shared.home .. "/jwt", AWS_ROLE_ARN = "arn:aws:iam::1:role/web",
        AWS_ROLE_SESSION_NAME = "pod", AWS_ENDPOINT_URL_STS = url }
    end

    it("are got unsigned, the token read anew each time", function()
      local s, url = server()
      s:reply("POST", { body = sts_answer("AssumeRoleWithWebIdentity", "ASIAWEB") })
      local b = open(env(url))
      local c = b:wait()
      assert.same({ "ASIAWEB", "web identity: role arn:aws:iam::1:role/web" }, { c.access_key, c.source })
      assert.matches("Action=AssumeRoleWithWebIdentity&.*RoleSessionName=pod&WebIdentityToken=JWT%-secret$", s:requests()[1])
      assert.is_nil(s:requests()[1]:find "Authorization")
      write(shared.home .. "/jwt", "second")
      assert.is_true(b:refused())
      b:wait()
      assert.matches("WebIdentityToken=second$", s:requests()[2])
    end)

    it("may be a profile's", function()
      local s, url = server()
      s:reply("POST", { body = sts_answer("AssumeRoleWithWebIdentity", "ASIAWEB") })
      write(shared.home .. "/jwt", "JWT-secret")
      config("[default]\nrole_arn = arn:aws:iam::1:role/web\nweb_identity_token_file = " .. shared.home .. "/jwt")
      assert.equal("profile default: role arn:aws:iam::1:role/web of a web identity", open({ AWS_ENDPOINT_URL = url }):wait().source)
    end)

    it("are asked for again when the identity provider does not answer STS", function()
      local s, url = server()
      s:reply("POST", { status = "400", body = sts_error("IDPCommunicationError", "try again"), times = 2 })
      s:reply("POST", { body = sts_answer("AssumeRoleWithWebIdentity", "ASIAWEB") })
      assert.equal("ASIAWEB", open(env(url)):wait().access_key)
    end)

    it("lack what the message names", function()
      local e = env "http://127.0.0.1:1"
      e.AWS_ROLE_ARN = nil
      assert.matches("web identity: AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not$", failure(open(e)))
      e = env "http://127.0.0.1:1"
      e.AWS_WEB_IDENTITY_TOKEN_FILE = shared.home .. "/gone"
      assert.matches("web identity: role arn:aws:iam::1:role/web: cannot open " .. shared.home .. "/gone: No such file", failure(open(e)))
      write(shared.home .. "/jwt", "\n")
      e.AWS_WEB_IDENTITY_TOKEN_FILE = shared.home .. "/jwt"
      assert.matches("/jwt is empty$", failure(open(e)))
    end)
  end)

  describe("of SSO", function()
    local SESSION = "[sso-session corp]\nsso_start_url = https://corp.awsapps.com/start\nsso_region = eu-central-1\n"
    local PROFILE = "[default]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Dev Ops\n"
    local function token(name, expires)
      write(("%s/.aws/sso/cache/%s.json"):format(shared.home, name), json_set { accessToken = "bearer-secret", expiresAt = expires or FAR })
    end
    local CORP = "c43f8a29bb38b4dd4c9b5fb5a8d0d1d5a2d7c9f0" -- replaced below by what sha1sum says
    setup(function()
      local p = assert(io.popen "printf corp | sha1sum")
      CORP = p:read "a":match "%x+"
      p:close()
    end)
    local ANSWER = json_set { accessKeyId = "ASIASSO", secretAccessKey = SECRET, sessionToken = TOKEN, expiration = 7226582400000 }

    it("are bought with the session's cached token", function()
      local s, url = server()
      s:reply("GET /federation/credentials?role_name=Dev%20Ops&account_id=123456789012 ", { body = '{"roleCredentials":' .. ANSWER .. "}" })
      config(SESSION .. PROFILE)
      token(CORP)
      local c = open({ AWS_ENDPOINT_URL_SSO = url }):wait()
      assert.same({ access_key = "ASIASSO", secret_key = SECRET, session_token = TOKEN, account = "123456789012",
        source = "profile default: SSO role Dev Ops", expires_ms = 7226582400000 }, c)
      assert.is_truthy(s:requests()[1]:find("\r\nx-amz-sso_bearer_token: bearer-secret\r\n", 1, true))
    end)

    it("know the older form without a session", function()
      local s, url = server()
      s:reply("GET", { body = '{"roleCredentials":' .. ANSWER .. "}" })
      config "[default]\nsso_start_url = corp\nsso_region = eu-central-1\nsso_account_id = 1\nsso_role_name = r"
      token(CORP, "2199-01-01T00:00:00UTC")
      assert.equal("ASIASSO", open({ AWS_ENDPOINT_URL_SSO = url }):wait().access_key)
    end)

    it("need a login, which the message spells out", function()
      config(SESSION .. PROFILE)
      local env = { AWS_ENDPOINT_URL_SSO = "http://127.0.0.1:1" }
      assert.matches("SSO: .*/sso/cache/" .. CORP .. ".json does not exist; run: aws sso login %-%-sso%-session corp$", failure(open(env)))
      token(CORP, "2020-01-01T00:00:00Z")
      assert.matches("the token has expired at 2020%-01%-01T00:00:00Z; run: aws sso login %-%-sso%-session corp$", failure(open(env)))
      write(shared.home .. "/.aws/sso/cache/" .. CORP .. ".json", "bearer-secret")
      assert.matches(".json is not JSON; run: aws sso login", failure(open(env)))
      local s, url = server()
      s:reply("GET", { status = "401", body = '{"message":"Session token not found or invalid"}' })
      token(CORP)
      assert.matches("does not accept the token; run: aws sso login", failure(open { AWS_ENDPOINT_URL_SSO = url }))
      s, url = server()
      s:reply("GET", { status = "403", body = '{"message":"No access"}' })
      assert.matches("answered with status 403: No access$", failure(open { AWS_ENDPOINT_URL_SSO = url }))
    end)

    it("are an error that says what is wrong", function()
      config(SESSION .. PROFILE)
      for _, case in ipairs { { "<html>", "the answer of IAM Identity Center is not JSON$" },
        { '{"roleCredentials":{"accessKeyId":"a"}}', "has no roleCredentials with an expiration$" },
        { '{"roleCredentials":{"accessKeyId":"a","expiration":7226582400000}}', "the secret key is missing$" },
        { '{"roleCredentials":' .. ANSWER:gsub("722658%d+", "1000") .. "}", "have expired already, at 1970" } } do
        local s, url = server()
        s:reply("GET", { body = case[1] })
        token(CORP)
        assert.matches(case[2], failure(open { AWS_ENDPOINT_URL_SSO = url }))
      end
      write(("%s/.aws/sso/cache/%s.json"):format(shared.home, CORP), '{"accessToken":"a"}')
      assert.matches("has no accessToken with a readable expiresAt; run: aws sso login", failure(open {}))
      write(("%s/.aws/sso/cache/%s.json"):format(shared.home, CORP), '{"accessToken":"a\\nb","expiresAt":"' .. FAR .. '"}')
      assert.matches("the token cannot be sent in a header; run: aws sso login", failure(open {}))
    end)

    it("are asked of the portal of the session's region, through a proxy where one is set", function()
      for region, host in pairs { ["eu-central-1"] = "amazonaws.com", ["cn-north-1"] = "amazonaws.com.cn" } do
        local s, url = server()
        config(SESSION:gsub("eu%-central%-1", region) .. PROFILE)
        token(CORP)
        local why = failure(open { https_proxy = url })
        local portal = "portal.sso." .. region .. "." .. host
        assert.is_truthy(why:find("SSO: GET https://" .. portal .. "/federation/credentials: ", 1, true), why)
        assert.is_truthy(s:requests()[1]:find("CONNECT " .. portal .. ":443 ", 1, true))
      end
    end)

    it("lack what the message names", function()
      config(PROFILE)
      assert.matches("config:2%): there is no section %[sso%-session corp%]$", failure(open {}))
      config(SESSION .. "[default]\nsso_session = corp\nsso_account_id = 1")
      assert.matches("SSO: profile: default %(.*config:4%) lacks sso_role_name$", failure(open {}))
      config("[sso-session corp]\nsso_region = x\n" .. PROFILE)
      assert.matches("SSO: sso%-session: corp %(.*config:1%) lacks sso_start_url$", failure(open {}))
      config "[default]\nsso_start_url = x\nsso_account_id = 1\nsso_role_name = r"
      assert.matches("SSO: profile: default %(.*config:1%) lacks sso_region$", failure(open {}))
      config "[default]\nsso_start_url = x\nsso_region = a.b\nsso_account_id = 1\nsso_role_name = r"
      assert.matches("SSO: sso_region 'a.b' is not the name of a region$", failure(open {}))
      config(SESSION .. PROFILE .. "sso_region = us-east-1")
      assert.matches("config:8: sso_region differs from that of sso%-session corp$", failure(open {}))
    end)
  end)

end)
