---@meta perigee.types
--- What the host hands to handlers. Declarations for editors only (LuaLS); nothing requires this file.

---@class perigee.Headers names in any case; repeated ones are joined with ", "
---@field [string] string

---@class perigee.Request
---@field method string
---@field path string decoded
---@field path_params table<string, string>
---@field query table<string, string> the last one of each name
---@field query_all table<string, string[]>
---@field headers perigee.Headers
---@field body string raw bytes
---@field request_id string
---@field trace_id string
---@field source_ip string
---@field host string
---@field event table? the AWS document
---@field json fun(self: perigee.Request): any, perigee.Error?

---@class perigee.Message one message of a queue
---@field id string
---@field body string
---@field queue string
---@field receive_count integer
---@field sent_at integer Unix ms
---@field attributes table
---@field json fun(self: perigee.Message): any, perigee.Error?

---@class perigee.Context
---@field request_id string
---@field trace_id string
---@field correlation_id string?
---@field function_name string
---@field log perigee.Log
---@field remaining fun(self: perigee.Context): integer ms until the function's Timeout
---@field after fun(self: perigee.Context, fn: fun()) runs fn once the reply was sent, within the same limits

---@class perigee.Log
---@field debug fun(message: string, fields: table?)
---@field info fun(message: string, fields: table?)
---@field warn fun(message: string, fields: table?)
---@field error fun(message: string, fields: table?)

---@class perigee.Error what the world's failures are; tostring() gives a sentence
---@field code string
---@field message string
---@field status integer?
---@field retryable boolean?
---@field service string?
---@field action string?
---@field request_id string?
---@field attempts integer? of AWS: tries that were sent
---@field waited_ms integer? between them
---@field extended_id string? S3's x-amz-id-2
