"""The differences between S3 peers and the engine that stay, each with what decides; for diff_s3.py. API: a page of the Amazon S3 API
Reference (https://docs.aws.amazon.com/AmazonS3/latest/API/NAME.html), Guide: one of the User Guide
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/NAME.html). Patterns: of "operation field | parameters => our
outcome", of our value, of the peer's."""

INTEGRITY = "Guide checking-object-integrity-upload"
SEVERAL = "several faults in one request: another is named"
FAULT = (r"^4\d\d (NoSuch(Key|Bucket|Version|Upload)|Invalid\w+|MetadataTooLarge|PreconditionFailed|MalformedXML|BadDigest|BadRequest|MethodNotAllowed"
         r"|EntityTooSmall|Illegal\w+|KeyTooLongError)|^416 |^4\d\d$")
OK, NONE = r"^20\d$", r"^\(none\)$"


def explain(explained, peer):
    both(explained)
    (moto if peer == "moto" else minio)(explained)
    explained(SEVERAL, "outcome", FAULT, FAULT)


def both(explained):
    explained("a list holds 1000 at most, and tells so (API API_ListObjectsV2, API_ListMultipartUploads, API_ListParts)", r"body\.Max(Keys|Uploads|Parts) ", "^1000$")
    explained("checksums of copies are in CopyObjectResult (API API_CopyObject)", r"copy\w* (body\.Checksum|header x-amz-checksum)|directive header x-amz-checksum")
    explained("ETags of copies and of completed uploads are in the document (API API_CopyObject, API_CompleteMultipartUpload)", r"(copy|complete)\w* header etag", NONE)
    explained("CRC64NVME is added where there is no checksum (%s)" % INTEGRITY, "header x-amz-checksum-(crc64nvme|type)|body.ChecksumCRC64NVME|complete.* body.Checksum", ".", NONE)
    explained("lists tell algorithm and type of checksums (API API_Object, API_ObjectVersion, API_ListParts)", r"list.* body.*Checksum", ".", NONE)
    explained("lists tell algorithm and type of checksums (API API_Object, API_ObjectVersion, API_ListParts)", r"list.* body.*Checksum", "CRC64NVME|" + NONE)
    explained("an upload's checksums are told (API API_CreateMultipartUpload, API_ListParts)", "header x-amz-checksum-(algorithm|type)", ".", NONE)
    explained("regions of buckets are told (API API_HeadBucket, API_Bucket)", "bucket-region|BucketRegion", ".", NONE)
    explained("a prefix for buckets is told again (API API_ListBuckets)", "list_buckets body.Prefix", ".", NONE)
    explained("a checksum that is none: InvalidRequest (%s)" % INTEGRITY, "outcome .*hecksum", "^400 InvalidRequest", "^400 InvalidArgument|^20")
    explained("a part without the checksum that its upload needs: InvalidRequest (API API_UploadPart)", "upload_part outcome", "^400 InvalidRequest", "^400 InvalidArgument|" + OK)
    explained("CompleteMultipartUpload's address is the server's own", "body.Location")
    explained("the end of a list of parts is told when there is more (API API_ListParts)", "NextPartNumberMarker", NONE)
    explained("a body needs Content-MD5 or a checksum (API API_DeleteObjects)", "delete without md5 outcome", "^400 InvalidRequest")
    explained("tags have rules (Guide object-tagging)", "outcome .*[Tt]ag", "^400 InvalidTag", OK)
    explained("GetObjectAttributes is not implemented", "get_object_attributes outcome", "^501")
    explained("bucket names have rules (Guide bucketnamingrules)", "create_bucket outcome", "^400 InvalidBucketName", "^200|^409")
    explained("requests that are not as the API has them", "(no part number|bad part number|list max-keys|delete xml|tagging xml|complete xml|versioning xml|directive|copy source|key too long)"
              " outcome", r"^4\d\d", ".")
    explained("repeating a completion succeeds (API API_CompleteMultipartUpload)", "complete\\w* outcome", "^200", "^404 NoSuchUpload")
    explained("MaxBuckets is 1 to 10000 (API API_ListBuckets)", "list_buckets outcome", "^400 InvalidArgument")
    explained("deleting nothing makes a delete marker where versions are kept (Guide DeletingObjectVersions)", "delete_object header x-amz-(version-id|delete-marker)", ".", NONE, True)
    explained("deleting nothing makes a delete marker where versions are kept (Guide DeletingObjectVersions)", r"delete_objects body\.Deleted.*DeleteMarker", ".", NONE, True)
    explained("what is not modified tells version and cache fields (RFC 9110, 15.4.5)", "header (x-amz-version-id|cache-control|expires) .*=> 304", ".", NONE)


def moto(explained):
    explained("moto fails inside", "outcome", ".", r"^500 |^40\d$|not XML")
    explained("moto repeats what was sent in header fields", "header x-amz-(sdk-checksum-algorithm|content-sha256|tagging-count|checksum)", NONE)
    explained("moto verifies no checksums (%s)" % INTEGRITY, "outcome .*(Checksum|checksum|ContentMD5|Content-MD5)", "^400 (BadDigest|InvalidDigest|InvalidRequest)", "^200$")
    explained("moto returns no checksums (%s)" % INTEGRITY, "header x-amz-checksum|body.*Checksum", ".", NONE)
    explained("moto does not encode what a list repeats, nor says that it does (API API_ListObjectsV2: EncodingType)",
              r"list\w* body\.(EncodingType|Prefix|Delimiter|StartAfter|KeyMarker|NextKeyMarker|Marker|NextMarker|CommonPrefixes\S*)", "%|url")
    explained("moto leaves out what was asked (API API_ListObjects, API_ListMultipartUploads)", r"list\w* body\.(Marker|Delimiter|Prefix|ContinuationToken|MaxUploads)")
    explained("moto does not know Quiet (API API_DeleteObjects)", "delete_objects body.Deleted.*'Quiet'", NONE, ".")
    explained("moto limits no metadata (Guide UsingMetadata)", "outcome .*'Metadata'", "^400 MetadataTooLarge", OK)
    explained("moto lets ids be versions that are none", "outcome .*'VersionId'", "^400 InvalidArgument", OK)
    explained("moto lets ids be versions that are none", "delete_objects body.(Error|Deleted).*'VersionId'", ".", ".", True)
    explained("moto tells no versions where one was named", "header x-amz-version-id", "null|VersionId|version-id", NONE)
    explained("moto lists versions in another order and counts otherwise (API API_ListObjectVersions: keys in lexicographic order, newest first)",
              r"list_object_versions body\.(Version|DeleteMarker|CommonPrefixes|IsTruncated|Next|KeyMarker|VersionIdMarker)")
    explained("moto's markers of lists are hashes", "list_objects body.(NextMarker|Marker)")
    explained("moto lists uploads without delimiter (API API_ListMultipartUploads)", "list_multipart_uploads body")
    explained("moto takes an upload's id for that of any key", r"(upload_part|list_parts|abort|complete)\w* outcome", "^404 NoSuchUpload", OK, True)
    explained("moto begins lists with prefixes before the marker (API API_ListObjects)", r"list_objects body.CommonPrefixes.*Marker", NONE)
    explained("a range of other units is none (RFC 9110, 14.2)", "outcome .*items=", "^200", "^206")
    explained("If-Match: * is met by what there is (RFC 9110, 13.1.1)", r"outcome .*IfMatch': '\*", "^(20|304)", "^412|^304")
    explained("If-None-Match may be a list or * (RFC 9110, 13.1.2)", r"outcome .*IfNoneMatch': '(\*|\S+, )", "^304", "^20")
    explained("MaxKeys is 0 or more (API API_ListObjectVersions)", r"list\w* outcome .*'MaxKeys': -1", "^400 InvalidArgument", OK)
    explained("a version is told where versions are kept (API API_CompleteMultipartUpload)", "header x-amz-version-id", NONE, "null")
    explained("If-Match may be a list (RFC 9110, 13.1.1)", r"outcome .*IfMatch': '\S+, ", "^20", "^412")
    explained("the end of nothing is no range (RFC 9110, 14.1.2)", r"outcome .*bytes=-", "^416", "^206")
    explained("a range from behind to before is none (RFC 9110, 14.1.1)", "outcome .*bytes=4-2", "^200|^304|^412", "^416")
    explained("moto has buckets of any name when asked for them", "bucket name outcome", r"^40\d", OK)
    explained("moto tells prefixes of what has delete markers only, and counts them (Guide DeleteMarker)", r"list_object\w* body\.(CommonPrefixes|KeyCount)")
    explained("of nothing, the first part is all (API API_GetObject: 206 has a Content-Range)", "outcome .*'PartNumber': 1[,}]", "^200", "^206")
    explained("a version's state is Enabled or Suspended (API API_PutBucketVersioning)", "put_bucket_versioning outcome", "^400 Illegal", OK)
    explained("moto's pages go on elsewhere (API API_ListObjects: Marker)", "list_objects body.*page after")
    explained("a part and a range: InvalidRequest (API API_GetObject)", "outcome .*'Range'.*'PartNumber'", "^400 InvalidRequest", "^20")
    explained("metadata has no space around it (RFC 9110, 5.5)", "header x-amz-meta", r"^\S", " ")
    explained("moto completes without the parts' checksums (%s)" % INTEGRITY, "complete_multipart_upload outcome", "^400 InvalidRequest", OK, True)
    explained("an encoding that is none: InvalidArgument", "outcome .*'EncodingType': 'xml'", "^400 InvalidArgument", OK)


def minio(explained):
    explained("MinIO has codes of its own for checksums (%s: BadDigest)" % INTEGRITY, "outcome", "^400 BadDigest", "^400 XAmzContentChecksumMismatch")
    explained("MinIO encodes other characters", r"list\w* body\..*(Key|Prefix|Marker)", "[*%]", "[*+]")
    explained("MinIO's markers have a cache's name in them", r"list\w* body\.(Next)?(Key)?Marker", ".", "minio_cache")
    explained("MinIO tells the next marker without a delimiter (API API_ListObjects: NextMarker)", "list_objects body.NextMarker", NONE)
    explained("MinIO describes delete markers as objects", "list_object_versions body.DeleteMarker.*(Size|StorageClass|ETag)", NONE)
    explained("MinIO has codes of its own", "outcome", FAULT, "XMinio|MissingContentLength|^400 BadRequest")
    explained("MinIO finds versions that are none", "head_object outcome .*'VersionId'", r"^40\d", OK)
    explained("MinIO tells no storage class of uploads", "body.Upload.*StorageClass", "STANDARD", NONE)
    explained("MinIO lists uploads of one key that it looks for (API API_ListMultipartUploads)", "list_multipart_uploads body")
    explained("MinIO ends an upload that is none (API API_AbortMultipartUpload: NoSuchUpload)", "abort_multipart_upload outcome", "^404 NoSuchUpload", OK, True)
    explained("MinIO does not list from a marker outside of the prefix", "list_object\\w* outcome .*Marker", "^200", "^501")
    explained("MinIO names no version of what was copied", "header x-amz-copy-source-version-id", ".", NONE)
    explained("MinIO tells no version of tags (API API_GetObjectTagging)", "tagging header x-amz-version-id", ".", NONE)
    explained("MinIO lets ASCII only be tags (Guide object-tagging)", "put_object_tagging outcome .*ü", "^200", "^400 InvalidTag", True)
    explained("MinIO removes keys of one list side by side", r"delete_objects body\.(Deleted|Error)")
    explained("MinIO encodes ~ (RFC 3986, 2.3: unreserved)", r"list\w* body.*(Key|Marker|Prefix)", "~", "%7E")
    explained("MinIO tells prefixes of what has delete markers only, and counts them (Guide DeleteMarker)", r"list_object\w* body\.(CommonPrefixes|Contents|IsTruncated|Next|KeyCount).*'Delimiter'")
    explained("MinIO finds parts that there are not", "outcome .*PartNumber", "^40[04]|^416", "^20")
    explained("MinIO lists nothing of what is not there", "list\w* outcome .*'MaxKeys': 0", "^404 NoSuchBucket", OK)
    explained("a list of 0 is empty (API API_ListObjectsV2: MaxKeys)", r"list\w* body.*'MaxKeys': 0", ".")
    explained("MinIO's versions named null do not go into markers", r"list_object_versions body\.(Next)?VersionIdMarker", "null", NONE)
    explained("checksums go with all bytes of a range (Guide checking-object-integrity)", "get_object header x-amz-checksum.*Range", ".", NONE)
    explained("deleting what is deleted makes another delete marker (Guide DeleteMarker)", "delete_object header x-amz-version-id", "unknown id", "ersion-?[iI]d", True)
    explained("deleting nothing makes a delete marker where versions are kept (Guide DeletingObjectVersions)", r"list_object_versions body\.DeleteMarker", ".", NONE)
    explained("If-Modified-Since is not looked at beside If-None-Match (RFC 9110, 13.1.3)", "outcome .*IfNoneMatch.*IfModifiedSince", "^20", "^304")
    explained(SEVERAL, "outcome .*(Range|PartNumber)", "^304|^412", FAULT)
    explained("If-None-Match may be a list (RFC 9110, 13.1.2)", r"outcome .*IfNoneMatch': '\S+, ", "^304", "^20")
    explained("MinIO counts parts, not their numbers (API API_ListParts: part-number-marker)", "list_parts body.*PartNumberMarker")
    explained("If-Unmodified-Since comes before If-None-Match (RFC 9110, 13.2.2)", "outcome .*IfUnmodifiedSince", "^412", "^304")
    explained("MinIO's pages of versions go on elsewhere (API API_ListObjectVersions: key-marker, version-id-marker)", "list_object_versions body.*page after")
    explained("If-Match may be a list (RFC 9110, 13.1.1)", r"outcome .*IfMatch': '\S+, ", "^20", "^412")
    explained("a copied version is told when it has an id (API API_CopyObject)", "header x-amz-copy-source-version-id", NONE, "null")
    explained("MinIO wants checksums of parts that it copies (API API_UploadPartCopy has none)", "upload_part_copy outcome", "^200", "^400 InvalidArgument", True)
    explained("a range from behind to before is none (RFC 9110, 14.1.1)", "outcome .*bytes=4-2", "^200|^304|^412", "^416")
    explained("MinIO's listings go on after the last (API API_ListObjectsV2: IsTruncated)", r"list_objects\w* body\.(IsTruncated|Next\w+).*page after", "false|" + NONE)
    explained("MinIO has other delete markers, which go into other pages (Guide DeletingObjectVersions)", r"list_object_versions body\.(Version|DeleteMarker|Next|IsTruncated)")
    explained("a part without its checksum: InvalidRequest (%s)" % INTEGRITY, "complete_multipart_upload outcome", "^400 InvalidRequest", "^400 InvalidPart")
    explained("a bucket is looked for first", "outcome", "^404 NoSuchBucket", "^501")
