local t = require "t.protocol"

local function where(options)
    local ep, err = t.endpoint(options)
    assert(ep, err and err.message)
    return ep.base .. ep.path, ep
end

local function refused(options)
    local ep, err = t.endpoint(options)
    assert.is_nil(ep)
    return err.message, err.name
end

describe("endpoint", function()
    it("is the service's host in the region", function()
        for service, host in pairs {
            dynamodb = "dynamodb", sqs = "sqs", ses = "email", sts = "sts", s3 = "s3", cloudwatch = "monitoring", states = "states", kms = "kms",
        } do
            local url, ep = where { service = service, region = "eu-west-1" }
            assert.equal("https://" .. host .. ".eu-west-1.amazonaws.com", url)
            assert.same({ host .. ".eu-west-1.amazonaws.com", "eu-west-1", true }, { ep.host, ep.region, ep.tls })
        end
    end)

    it("is signed for the service's signing name", function()
        for service, name in pairs { dynamodb = "dynamodb", ses = "ses", cloudwatch = "monitoring", s3 = "s3" } do
            assert.equal(name, t.endpoint { service = service }.signing)
        end
    end)

    it("has the names of each partition", function()
        for region, host in pairs {
            ["us-east-1"] = "sqs.us-east-1.amazonaws.com", ["cn-north-1"] = "sqs.cn-north-1.amazonaws.com.cn",
            ["us-gov-west-1"] = "sqs.us-gov-west-1.amazonaws.com", ["eusc-de-east-1"] = "sqs.eusc-de-east-1.amazonaws.eu",
            ["us-iso-east-1"] = "sqs.us-iso-east-1.c2s.ic.gov", ["us-isob-east-1"] = "sqs.us-isob-east-1.sc2s.sgov.gov",
            ["eu-isoe-west-1"] = "sqs.eu-isoe-west-1.cloud.adc-e.uk", ["us-isof-south-1"] = "sqs.us-isof-south-1.csp.hci.ic.gov",
            ["mx-central-1"] = "sqs.mx-central-1.amazonaws.com", ["ap-southeast-17"] = "sqs.ap-southeast-17.amazonaws.com",
        } do
            assert.equal("https://" .. host, (where { service = "sqs", region = region }))
        end
    end)

    -- every row as botocore resolves it from the services' endpoint rules: plain, dual-stack, FIPS, both
    local S, G = "amazonaws.com", "us-gov-west-1"
    local rules = {
        { "dynamodb", "eu-west-1", "dynamodb.eu-west-1." .. S, "dynamodb.eu-west-1.api.aws", "dynamodb-fips.eu-west-1." .. S,
            "dynamodb-fips.eu-west-1.api.aws" },
        { "dynamodb", "cn-north-1", "dynamodb.cn-north-1." .. S .. ".cn", "dynamodb.cn-north-1.api.amazonwebservices.com.cn",
            "dynamodb-fips.cn-north-1." .. S .. ".cn", "dynamodb-fips.cn-north-1.api.amazonwebservices.com.cn" },
        { "dynamodb", G, "dynamodb." .. G .. "." .. S, "dynamodb." .. G .. ".api.aws", "dynamodb." .. G .. "." .. S, "dynamodb-fips." .. G .. ".api.aws" },
        { "ses", G, "email." .. G .. "." .. S, "email." .. G .. ".api.aws", "email-fips." .. G .. "." .. S, "email-fips." .. G .. ".api.aws" },
        { "events", G, "events." .. G .. "." .. S, "events." .. G .. ".api.aws", "events." .. G .. "." .. S, "events." .. G .. ".api.aws" },
        { "states", "us-gov-east-1", "states.us-gov-east-1." .. S, "states-fips.us-gov-east-1.api.aws", "states-fips.us-gov-east-1." .. S, "states-fips.us-gov-east-1.api.aws" },
        { "iam", "eu-west-1", "iam." .. S, "iam.global.api.aws", "iam-fips." .. S, "iam-fips.global.api.aws" },
        { "iam", "us-gov-east-1", "iam.us-gov." .. S, "iam.us-gov.api.aws", "iam.us-gov." .. S, "iam.us-gov.api.aws" },
        { "secretsmanager", "eu-west-1", "secretsmanager.eu-west-1." .. S, "secretsmanager.eu-west-1." .. S, "secretsmanager-fips.eu-west-1." .. S,
            "secretsmanager-fips.eu-west-1." .. S },
        { "s3", "us-east-1", "bkt.s3.us-east-1." .. S, "bkt.s3.dualstack.us-east-1." .. S, "bkt.s3-fips.us-east-1." .. S,
            "bkt.s3-fips.dualstack.us-east-1." .. S },
        { "s3", "cn-north-1", "bkt.s3.cn-north-1." .. S .. ".cn", "bkt.s3.dualstack.cn-north-1." .. S .. ".cn" },
    }
    it("follows dual-stack and FIPS", function()
        for _, row in ipairs(rules) do
            for i = 0, 3 do
                local want = row[3 + i]
                if want then
                    assert.equal("https://" .. want, (where { service = row[1], region = row[2], dualstack = i % 2 == 1, fips = i > 1,
                        bucket = row[1] == "s3" and "bkt" or nil }))
                end
            end
        end
    end)

    it("names FIPS endpoints that are not there", function()
        assert.matches("no FIPS endpoints in partition aws%-cn", (refused { service = "s3", region = "cn-north-1", fips = true }))
        assert.matches("AWS_ENDPOINT_URL_IAM", (refused { service = "iam", region = "cn-north-1", fips = true }))
    end)

    it("of IAM is signed for the partition's own region", function()
        assert.equal("us-east-1", t.endpoint { service = "iam", region = "eu-west-1" }.region)
        assert.equal("us-gov-west-1", t.endpoint { service = "iam", region = "us-gov-east-1" }.region)
        assert.equal("https://iam.cn-north-1.amazonaws.com.cn", (where { service = "iam", region = "cn-northwest-1" }))
    end)

    it("takes another region for one call", function()
        local url, ep = where { service = "s3", region = "us-east-1", other_region = "eu-north-1", bucket = "bkt" }
        assert.equal("https://bkt.s3.eu-north-1.amazonaws.com", url)
        assert.equal("eu-north-1", ep.region)
    end)
end)

describe("region", function()
    it("must be given", function()
        local message, name = refused { service = "sqs", no_region = true }
        assert.matches("AWS_REGION", message)
        assert.equal("ConfigurationError", name)
    end)

    it("cannot turn the host into another", function()
        for _, region in ipairs { "evil.com/", "x@evil", "a.b", "eu west", "-eu-west-1", "eu-west-1-", "é", "eu-west-1\0", ("a"):rep(64), "a#", "a?b", "a:1" } do
            assert.matches("is no region", (refused { service = "sqs", region = region }))
            assert.is_false(select(2, t.partition(region)))
        end
    end)

    it("of an unknown partition is refused, unless the endpoint is given", function()
        assert.matches('the partition of region "moon%-base%-1" is not known', (refused { service = "sqs", region = "moon-base-1" }))
        assert.matches("not known", (refused { service = "s3", region = "auto" }))
        local url, ep = where { service = "s3", region = "auto", endpoint = "https://acc.r2.example.com" }
        assert.same({ "https://acc.r2.example.com", "auto" }, { url, ep.region })
    end)

    it("tells the partition", function()
        for region, partition in pairs { ["eu-west-1"] = "aws", ["cn-north-1"] = "aws-cn", ["us-gov-east-1"] = "aws-us-gov", ["us-iso-west-1"] = "aws-iso",
            ["eusc-de-east-1"] = "aws-eusc", auto = "aws", ["us-"] = "aws" } do
            assert.equal(partition, (t.partition(region)))
        end
    end)
end)

describe("bucket", function()
    it("is part of the host when it is one label", function()
        local url, ep = where { service = "s3", region = "eu-west-1", bucket = "receipts-2026" }
        assert.equal("https://receipts-2026.s3.eu-west-1.amazonaws.com", url)
        assert.equal("receipts-2026.s3.eu-west-1.amazonaws.com", ep.host)
    end)

    it("is part of the path otherwise", function()
        for _, bucket in ipairs { "my.bucket", "Old_Bucket", "UPPER", ("a"):rep(64), "-abc", "abc-" } do
            assert.equal("https://s3.eu-west-1.amazonaws.com/" .. bucket, (where { service = "s3", region = "eu-west-1", bucket = bucket }))
        end
        assert.equal("https://s3.eu-west-1.amazonaws.com/bkt", (where { service = "s3", region = "eu-west-1", bucket = "bkt", addressing = "path" }))
    end)

    it("is part of the path of other services' endpoints, unless virtual hosts are asked for", function()
        for _, url in ipairs { "http://127.0.0.1:9000", "http://localhost:4566", "http://minio:9000", "https://s3.example.com", "http://[::1]:9000" } do
            assert.equal(url .. "/bkt", (where { service = "s3", bucket = "bkt", endpoint = url }))
        end
        assert.equal("http://bkt.s3.example.com:9000", (where { service = "s3", bucket = "bkt", endpoint = "http://s3.example.com:9000", addressing = "virtual" }))
        for _, url in ipairs { "http://127.0.0.1:9000", "http://[::1]:9000" } do -- no names below a number
            assert.equal(url .. "/bkt", (where { service = "s3", bucket = "bkt", endpoint = url, addressing = "virtual" }))
        end
    end)

    it("that is none is refused", function()
        for _, bucket in ipairs { "..", ".", "ab", "a/b", "a..b", "bkt?x", "bkt#", "a b", "arn:aws:s3:::x", ("a"):rep(256), "é__" } do
            local message, name = refused { service = "s3", region = "eu-west-1", bucket = bucket }
            assert.equal("InvalidBucketName", name)
            assert.matches("The specified bucket is not valid", message)
        end
    end)
end)

describe("endpoint URL", function()
    it("is taken as it is: scheme, lower-case host, port that is not the scheme's own, path as a prefix", function()
        for given, want in pairs {
            ["http://127.0.0.1:8000"] = { "http://127.0.0.1:8000", "127.0.0.1:8000" },
            ["http://LocalHost:80/"] = { "http://localhost", "localhost" },
            ["https://X.Example:443"] = { "https://x.example", "x.example" },
            ["https://x.example:80"] = { "https://x.example:80", "x.example:80" },
            ["HTTP://x:443/a/b//"] = { "http://x:443/a/b", "x:443" },
            ["http://[::1]:8000"] = { "http://[::1]:8000", "[::1]:8000" },
            ["http://[FE80::1]"] = { "http://[fe80::1]", "[fe80::1]" },
            ["http://under_score.local"] = { "http://under_score.local", "under_score.local" },
        } do
            local url, ep = where { service = "sqs", endpoint = given }
            assert.same(want, { url, ep.host }, given)
        end
    end)

    it("keeps its prefix before the bucket", function()
        assert.equal("http://x:1/pre/fix/bkt", (where { service = "s3", endpoint = "http://x:1/pre/fix/", bucket = "bkt" }))
        assert.equal("", t.endpoint { service = "s3", endpoint = "http://x:1" }.path)
    end)

    it("ignores dual-stack and FIPS", function()
        assert.equal("http://x:1", (where { service = "sqs", endpoint = "http://x:1", dualstack = true, fips = true }))
    end)

    it("that is none is refused, naming where it is set", function()
        for given, why in pairs {
            ["localhost:8000"] = "no scheme", ["ftp://x"] = "not http or https", ["http://"] = "no host", ["http://x?a=b"] = "no query",
            ["http://x#f"] = "no fragment", ["http://u:p@x"] = "user information", ["http://x:99999"] = "malformed port", ["http://x:0"] = "no host with a port",
            ["http://a b"] = "percent%-encoded", ["http://x$y"] = "is no host",
        } do
            local message, name = refused { service = "sqs", endpoint = given }
            assert.matches("^AWS_ENDPOINT_URL: ", message)
            assert.matches(why, message)
            assert.equal("ConfigurationError", name)
        end
    end)
end)
