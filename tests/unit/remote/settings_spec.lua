local t = require "t.credentials"

local function write(path, text)
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
end

describe("settings", function()
  local home

  before_each(function()
    home = os.tmpname()
    os.remove(home)
    assert(os.execute("mkdir -p " .. home .. "/.aws"))
  end)
  after_each(function() os.execute("rm -rf " .. home) end)

  local function config(text) write(home .. "/.aws/config", text) end
  local function read(env, explicit)
    env = env or {}
    env.HOME = env.HOME or home
    return t.settings(env, explicit)
  end
  local function refused(pattern, env, explicit)
    local s, why, name = read(env, explicit)
    assert.is_nil(s)
    assert.matches(pattern, why)
    assert.equal("ConfigurationError", name)
  end

  it("have defaults when nothing is configured", function()
    local s, log = read()
    assert.same({
      profile = "default", profile_source = "default", profile_explicit = false, endpoints = {}, dualstack = false,
      fips = false, s3 = "auto", retry = "standard", max_attempts = 0, request_when_required = false,
      response_when_required = false, imds_disabled = false, imds_endpoint = "http://169.254.169.254",
      imds_timeout_ms = 1000, imds_attempts = 1,
    }, s)
    assert.equal("", log)
  end)

  it("look in no file when there is no HOME", function()
    assert.equal("default", (t.settings {}).profile)
  end)

  describe("the profile", function()
    it("is the explicit one, else AWS_PROFILE, else default", function()
      config "[profile a]\nregion = eu-west-1\n[profile b]\nregion = eu-west-2\n[default]\nregion = eu-west-3"
      local s = read({ AWS_PROFILE = "b" }, { profile = "a" })
      assert.same({ "a", "--profile", true, "eu-west-1" }, { s.profile, s.profile_source, s.profile_explicit, s.region })
      s = read { AWS_PROFILE = "b" }
      assert.same({ "b", "AWS_PROFILE", false, "eu-west-2" }, { s.profile, s.profile_source, s.profile_explicit, s.region })
      assert.equal("eu-west-3", read().region)
    end)

    it("may stand in files that variables name, with ~ for HOME", function()
      write(home .. "/c", "[profile x]\nregion = eu-west-1")
      write(home .. "/k", "[x]\nmax_attempts = 7")
      local s = read { AWS_PROFILE = "x", AWS_CONFIG_FILE = "~/c", AWS_SHARED_CREDENTIALS_FILE = home .. "/k" }
      assert.equal("eu-west-1", s.region)
      assert.equal(7, s.max_attempts)
    end)

    it("that does not exist is an error with the files looked at", function()
      refused("^profile 'x' %(of %-%-profile%) is neither in " .. home .. "/.aws/config %(does not exist%) nor in " .. home ..
        "/.aws/credentials %(does not exist%)$", {}, { profile = "x" })
      config "[default]"
      refused("^profile 'x' %(of AWS_PROFILE%) is neither in " .. home .. "/.aws/config nor in", { AWS_PROFILE = "x" })
      local s, why = t.settings({ AWS_PROFILE = "x" })
      assert.is_nil(s)
      assert.matches("~/.aws/config %(HOME is not set%)", why)
    end)

    it("whose section is written as in the other file is an error with that line", function()
      config "\n[dev]\nregion = eu-west-1"
      refused("; %[dev%] at " .. home .. "/.aws/config:2 does not count: in this file it is written %[profile dev%]$",
        { AWS_PROFILE = "dev" })
    end)

    it("cannot be read from a directory or a malformed file", function()
      refused("directory", { AWS_CONFIG_FILE = home })
      config "[default"
      refused("^" .. home .. "/.aws/config:1: a section must end", {})
    end)
  end)

  describe("the region", function()
    it("comes from explicit, AWS_REGION, AWS_DEFAULT_REGION, the profile, in that order", function()
      config "[default]\nregion = r-4"
      local env = { AWS_REGION = "r-2", AWS_DEFAULT_REGION = "r-3" }
      local s = read(env, { region = "r-1" })
      assert.same({ "r-1", "--region" }, { s.region, s.region_source })
      s = read(env)
      assert.same({ "r-2", "AWS_REGION" }, { s.region, s.region_source })
      s = read { AWS_REGION = " ", AWS_DEFAULT_REGION = "r-3" }
      assert.same({ "r-3", "AWS_DEFAULT_REGION" }, { s.region, s.region_source })
      s = read()
      assert.same({ "r-4", "profile default (" .. home .. "/.aws/config:2)" }, { s.region, s.region_source })
    end)

    it("must be a label that cannot name another host", function()
      refused("^AWS_REGION: 'evil.com/' is not the name of a region", { AWS_REGION = "evil.com/" })
      config "[default]\nregion = a@b"
      refused("^profile default %(" .. home .. "/.aws/config:2%): 'a@b' is not the name of a region", {})
    end)
  end)

  describe("endpoints", function()
    local function of(s, service) return s.endpoints[service] and s.endpoints[service].url end

    it("come from the service's variable, AWS_ENDPOINT_URL, the services section, the profile, in that order", function()
      config "[default]\nendpoint_url = http://p\nservices = mine\n[services mine]\nsqs =\n  endpoint_url = http://s/\nsesv2 =\n  endpoint_url = http://mail"
      local s = read { AWS_ENDPOINT_URL_DYNAMODB = "http://d:8000", AWS_ENDPOINT_URL = "http://e" }
      assert.same({ "http://d:8000", "http://e", "http://e" }, { of(s, "dynamodb"), of(s, "sqs"), of(s, "sts") })
      assert.equal("AWS_ENDPOINT_URL_DYNAMODB", s.endpoints.dynamodb.source)
      assert.equal("AWS_ENDPOINT_URL", s.endpoints.sts.source)
      s = read()
      assert.same({ "http://p", "http://s", "http://mail", "http://p" }, { of(s, "s3"), of(s, "sqs"), of(s, "ses"), s.endpoints.sso })
      assert.equal("services mine (" .. home .. "/.aws/config:6)", s.endpoints.sqs.source)
      assert.equal("profile default (" .. home .. "/.aws/config:2)", s.endpoints.s3.source)
    end)

    it("that are explicit win over all, also where configured ones are ignored", function()
      local env = { AWS_ENDPOINT_URL_S3 = "http://a", AWS_IGNORE_CONFIGURED_ENDPOINT_URLS = "true" }
      local s = read(env, { endpoint_url = "http://127.0.0.1:4566/" })
      assert.same({ "http://127.0.0.1:4566", "http://127.0.0.1:4566" }, { of(s, "s3"), of(s, "logs") })
      assert.equal("--endpoint-url", s.endpoints.s3.source)
    end)

    it("that are configured can be ignored", function()
      config "[default]\nendpoint_url = http://p\nignore_configured_endpoint_urls = TRUE"
      assert.same({}, read({ AWS_ENDPOINT_URL = "http://e" }).endpoints)
      assert.equal("http://e", of(read { AWS_ENDPOINT_URL = "http://e", AWS_IGNORE_CONFIGURED_ENDPOINT_URLS = "false" }, "s3"))
    end)

    it("must be http or https URLs without query, fragment and user", function()
      refused("^AWS_ENDPOINT_URL: .*scheme", { AWS_ENDPOINT_URL = "localhost:8000" })
      refused("^AWS_ENDPOINT_URL_SQS: .*ftp", { AWS_ENDPOINT_URL_SQS = "ftp://x" })
      refused("^%-%-endpoint%-url: .*neither a query", {}, { endpoint_url = "http://x?a=b" })
      refused("neither a query nor a fragment", { AWS_ENDPOINT_URL = "http://x/#y" })
      refused("user information", { AWS_ENDPOINT_URL = "http://u:p@x" })
    end)

    it("of a services section that is not there are an error", function()
      config "[default]\nservices = gone"
      refused("^profile default %(.*config:2%): there is no section %[services gone%]$", {})
    end)
  end)

  describe("flags and words", function()
    it("come from variables over the profile", function()
      config [[
[default]
use_dualstack_endpoint = true
use_fips_endpoint = true
retry_mode = adaptive
max_attempts = 5
request_checksum_calculation = when_required
response_checksum_validation = WHEN_REQUIRED
sdk_ua_app_id = shop
s3 =
  addressing_style = path
  max_concurrent_requests = 20
ec2_metadata_service_endpoint_mode = IPv6
metadata_service_timeout = 3
metadata_service_num_attempts = 2
ec2_metadata_v1_disabled = true
]]
      local s = read()
      assert.same({ true, true, "adaptive", 5, true, true, "shop", "path" }, { s.dualstack, s.fips, s.retry, s.max_attempts,
        s.request_when_required, s.response_when_required, s.app_id, s.s3 })
      assert.same({ "http://[fd00:ec2::254]", 3000, 2, false }, { s.imds_endpoint, s.imds_timeout_ms, s.imds_attempts, s.imds_disabled })
      s = read {
        AWS_USE_DUALSTACK_ENDPOINT = "false", AWS_USE_FIPS_ENDPOINT = "False", AWS_RETRY_MODE = "standard",
        AWS_MAX_ATTEMPTS = "9", AWS_REQUEST_CHECKSUM_CALCULATION = "when_supported",
        AWS_RESPONSE_CHECKSUM_VALIDATION = "when_supported", AWS_SDK_UA_APP_ID = "other",
        AWS_EC2_METADATA_DISABLED = "true", AWS_EC2_METADATA_SERVICE_ENDPOINT = "http://127.0.0.1:1338/",
        AWS_METADATA_SERVICE_TIMEOUT = "2", AWS_METADATA_SERVICE_NUM_ATTEMPTS = "1",
      }
      assert.same({ false, false, "standard", 9, false, false, "other" }, { s.dualstack, s.fips, s.retry, s.max_attempts,
        s.request_when_required, s.response_when_required, s.app_id })
      assert.same({ "http://127.0.0.1:1338", 2000, 1, true }, { s.imds_endpoint, s.imds_timeout_ms, s.imds_attempts, s.imds_disabled })
    end)

    it("take a CA bundle that can be read", function()
      config "[default]\nca_bundle = /dev/null"
      assert.equal("/dev/null", read().ca_bundle)
      assert.equal(home .. "/.aws/config", read({}, { ca_bundle = home .. "/.aws/config" }).ca_bundle)
      refused("^AWS_CA_BUNDLE: '/nowhere' is not a file that can be read$", { AWS_CA_BUNDLE = "/nowhere" })
    end)

    it("take proxies of the given environment", function()
      local s = read { HTTPS_PROXY = "http://a:1", https_proxy = "http://b:2", ALL_PROXY = "http://c:3", NO_PROXY = "d,.e" }
      assert.same({ "http://c:3", "http://b:2", "d,.e" }, { s.http_proxy, s.https_proxy, s.no_proxy })
    end)

    it("that are bad name the variable or the line", function()
      refused("^AWS_USE_FIPS_ENDPOINT: 'yes' is not true or false$", { AWS_USE_FIPS_ENDPOINT = "yes" })
      refused("^AWS_USE_DUALSTACK_ENDPOINT: '0' is not true or false$", { AWS_USE_DUALSTACK_ENDPOINT = "0" })
      refused("^AWS_EC2_METADATA_V1_DISABLED: 'x' is not true or false$", { AWS_EC2_METADATA_V1_DISABLED = "x" })
      refused("^AWS_EC2_METADATA_DISABLED: '1' is not true or false$", { AWS_EC2_METADATA_DISABLED = "1" })
      refused("^AWS_RETRY_MODE: 'fast' is not standard, adaptive or legacy$", { AWS_RETRY_MODE = "fast" })
      refused("^AWS_MAX_ATTEMPTS: '0' is not a number from 1 to 100$", { AWS_MAX_ATTEMPTS = "0" })
      refused("^AWS_MAX_ATTEMPTS: '3x' is not a number", { AWS_MAX_ATTEMPTS = "3x" })
      refused("^AWS_REQUEST_CHECKSUM_CALCULATION: 'no' is not when_supported or when_required$",
        { AWS_REQUEST_CHECKSUM_CALCULATION = "no" })
      refused("^AWS_METADATA_SERVICE_TIMEOUT: '0.5' is not a number from 1 to 60$", { AWS_METADATA_SERVICE_TIMEOUT = "0.5" })
      config "[default]\ns3 =\n  addressing_style = sideways"
      refused("^profile default %(.*config:3%): 'sideways' is not auto, path or virtual$", {})
    end)

    it("of S3 that are not supported are refused by name", function()
      config "[default]\ns3 =\n  use_accelerate_endpoint = true"
      refused("config:3%): s3.use_accelerate_endpoint = true is not supported$", {})
      config "[default]\ns3 =\n  use_accelerate_endpoint = false\n  signature_version = s3v4"
      assert.equal("auto", read().s3)
      config "[default]\ns3 =\n  signature_version = s3"
      refused("signature_version = s3 is not supported", {})
    end)

    it("an application id that is too long is taken, with a warning", function()
      local s, log = read { AWS_SDK_UA_APP_ID = ("x"):rep(51) }
      assert.equal(51, #s.app_id)
      assert.matches('"level":"warn","msg":"the application id is longer.*"source":"AWS_SDK_UA_APP_ID"', log)
    end)

    it("retry mode legacy is standard, with a warning", function()
      local s, log = read { AWS_RETRY_MODE = "legacy" }
      assert.equal("standard", s.retry)
      assert.matches('"level":"warn","msg":"retry mode legacy is not supported.*"source":"AWS_RETRY_MODE"', log)
    end)
  end)

  it("explicit keys must be whole", function()
    refused("^explicit credentials lack the secret key$", {}, { access_key = "AKIA" })
    refused("^explicit credentials lack the access key$", {}, { secret_key = "s" })
    refused("^explicit credentials lack the access key$", {}, { session_token = "t" })
  end)
end)
