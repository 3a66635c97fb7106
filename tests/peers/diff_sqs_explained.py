"""The differences between SQS peers and the engine that stay, each with the documentation that decides; for diff_sqs.py.

explained(reason and page of the documentation, operation, ours, peer's): regular expressions of "ok {answer}" and "Code: message"."""
API = " (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_%s.html)"
GUIDE = " (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/%s.html)"
COMMON = " (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html)"
CODES = "the same fault by another code" + COMMON


def both(explained):
    explained("the peer fails at a parameter that is missing or malformed" + COMMON, ".", "(Missing|Invalid)", "(Client|5..|InternalFailure|InternalError):")
    explained("numbers out of range are refused" + API % "ReceiveMessage", ".", "Invalid.*must be an integer between|Invalid.*Must be an integer", "ok")
    explained("MD5OfMessageSystemAttributes is answered" + API % "SendMessage", "send_message", "ok .*MD5OfMessageSystemAttributes", "ok (?!.*MD5OfMessageSystemAttributes)")
    explained("a batch without entries is refused" + API % "DeleteMessageBatch", "_batch", "EmptyBatchRequest", ".")
    explained("ids of entries have letters, digits, hyphens and underscores, 1 to 80, and are distinct" + API % "SendMessageBatchRequestEntry", "_batch",
              "(InvalidBatchEntryId|BatchEntryIdsNotDistinct)", ".")
    explained("only what is in flight can have its visibility changed" + API % "ChangeMessageVisibility", "change_message_visibility$",
              "(MessageNotInflight|InvalidParameterValue: .*not available for visibility)", "(ok|ReceiptHandleIsInvalid)")
    explained("only what is in flight can have its visibility changed" + API % "ChangeMessageVisibilityBatch", "change_message_visibility_batch", "ok", "ok")
    explained("what is deleted may be deleted again; an old handle of a standard queue is no error" + API % "DeleteMessage", "delete_message$", "ok",
              "(ReceiptHandleIsInvalid|InvalidParameterValue)")
    explained("what is deleted may be deleted again; an old handle of a standard queue is no error" + API % "DeleteMessage", "delete_message_batch", "ok", "ok")
    explained("a message of a FIFO queue is deleted by its latest handle, while it is in flight" + API % "DeleteMessage", "delete_message$",
              "InvalidParameterValue: .*expired", "(ok|ReceiptHandleIsInvalid)")
    explained("names of attributes are known ones" + API % "SetQueueAttributes", "queue", "InvalidAttributeName: Unknown Attribute", ".")
    explained("tags: keys of 1 to 128 characters, not beginning with aws:, values of 0 to 256" + GUIDE % "quotas-queues", "tag_queue", "InvalidParameterValue: Tag", ".")
    explained("labels and actions of permissions" + API % "AddPermission", "permission", "(Missing|Invalid|OverLimit)", ".")
    explained("an entry that is no message fails alone" + API % "SendMessageBatch", "send_message_batch", 'ok .*"bad": \\{"', ".")
    explained("a batch is at most a mebibyte" + API % "SendMessageBatch", "send_message_batch", "BatchRequestTooLong", ".")
    explained("a message is at most a mebibyte; MaximumMessageSize may be 1,024 to 1,048,576" + API % "SetQueueAttributes", ".", "(ok|Invalid.*shorter than)",
              "Invalid.*(shorter|MaximumMessageSize|262144)")
    explained("only standard queues take no deduplication id" + API % "SendMessage", "send_message", "InvalidParameterValue: Value .*MessageDeduplicationId is invalid", "ok")
    explained(CODES, "create_queue", "(InvalidParameterValue: .*(name|Queue)|MissingParameter|InvalidAttributeValue|InvalidParameterValue: .*RedrivePolicy)", "(?!ok)")
    explained(CODES, "set_queue_attributes", "Invalid(ParameterValue: .*RedrivePolicy|AttributeValue)", "(?!ok)")
    explained(CODES, "receive_message", "InvalidParameterValue", "InvalidAttributeValue")
    explained(CODES, "send_message", "Invalid(ParameterValue|MessageContents)|MissingParameter", "(Invalid(AttributeValue|ParameterValue|MessageContents)|MissingParameter)")
    explained("a parameter that is missing" + COMMON, ".", "MissingParameter", "(QueueDoesNotExist|ReceiptHandleIsInvalid|InvalidParameterValue|InvalidAttribute)")


    explained("a body has a character at least, of those that XML 1.0 has" + API % "SendMessage", "send_message$", "(MissingParameter: .*MessageBody|InvalidMessageContents)", "ok")
    explained("groups and deduplication ids have 1 to 128 letters, digits and punctuation" + API % "SendMessage", "send_message$",
              "InvalidParameterValue: .*can only include alphanumeric and punctuation", ".")
    explained("names, types and values of attributes" + GUIDE % "sqs-message-metadata", "send_message$", "InvalidParameterValue: (Message attribute|.*message attribute)", ".")
    explained("the parameters of a call are looked at before its handle" + COMMON, "change_message_visibility$", "InvalidParameterValue", "ReceiptHandleIsInvalid")
    explained("a batch has at most ten entries" + API % "ChangeMessageVisibilityBatch", "_batch", "TooManyEntriesInBatchRequest", ".")
    explained("attributes count with the size of a message" + GUIDE % "quotas-messages", "send_message", "InvalidParameterValue: .*must be shorter than", "ok")
    explained("what is required is required" + COMMON, ".", "MissingParameter", "ok")
    explained("which fault of a batch is told" + COMMON, "_batch", "QueueDoesNotExist", "(Missing|Invalid)")
    explained("a deduplication id is remembered for five minutes, also when its message is deleted" + GUIDE % "using-messagededuplicationid-property", "send_message$",
              'ok .*"numbered": true', 'ok .*"numbered": true')
    explained("only the attributes that are asked for" + API % "ReceiveMessage", "receive_message", 'ok .*"attributes": null', 'ok .*"attributes": \\{"')
    explained("a queue that is made again with what it was made with is the same" + API % "CreateQueue", "create_queue", "ok", "QueueNameExists")
    explained("a message of a FIFO queue is answered with its sequence number, one that is a duplicate too" + API % "SendMessage", "send_message",
              'ok .*"numbered": true', 'ok .*"numbered": false')


def moto(explained):
    both(explained)
    explained("a deduplication id counts for the whole queue, in a batch, too" + GUIDE % "using-messagededuplicationid-property", "send_message",
              'ok .*"numbered": true', 'ok .*"numbered": true')
    explained("the visibility of what is in flight can be changed by its handle" + API % "ChangeMessageVisibility", "change_message_visibility$", "ok", "ReceiptHandleIsInvalid")
    explained("what was permitted can be taken back" + API % "RemovePermission", "remove_permission", "ok", "InvalidParameterValue")
    explained("queues are listed in no promised order" + API % "ListQueues", "list_queues", "ok", "ok")
    explained("a source that is not there" + API % "StartMessageMoveTask", "start_message_move_task", "ResourceNotFoundException", ".")
    explained("an empty map of tags is one" + API % "TagQueue", "tag_queue", "ok", "MissingParameter")
    explained("numbers of messages are approximate; tests/unit/local/sqs_model_spec.lua has them exactly" + API % "GetQueueAttributes", "get_queue_attributes",
              "ok .*ApproximateNumberOfMessages", "ok .*ApproximateNumberOfMessages")
    explained("a move whose messages have no source fails" + API % "ListMessageMoveTasks", "start_message_move_task", "ok .*FAILED", ".")
    explained("two handles that are none are two entries, whose ids differ" + API % "DeleteMessageBatch", "delete_message_batch", "ok", "BatchEntryIdsNotDistinct")
    explained("sequence numbers ascend; moto's are random" + API % "SendMessage", "send_message", 'ok .*"ascends": true, "numbered": true', 'ok .*"ascends": false, "numbered": true')


def elasticmq(explained):
    both(explained)
    explained("a sequence number is answered for entries of batches, too" + API % "SendMessageBatchResultEntry", "send_message_batch", 'ok .*"numbered": true', "ok ")
    explained("what a group gives is the affair of tests/unit/local/sqs_model_spec.lua; ElasticMQ keeps some groups back"
              + GUIDE % "FIFO-queues-understanding-logic", "receive_message", 'ok .*"MessageGroupId"', "ok ")
    explained("prefix.* asks for the attributes whose names begin so" + API % "ReceiveMessage", "receive_message", 'ok .*"attributes": \\{"prefix', 'ok .*"attributes": null')
    explained("ContentBasedDeduplication can be set, and DeduplicationScope" + API % "SetQueueAttributes", "set_queue_attributes", "ok", "InvalidAttributeName: The attribute")
    explained("a queue that is not there" + API % "AddPermission", "permission|dead_letter", "QueueDoesNotExist", "ok")
    explained("a queue with other attributes is another" + API % "CreateQueue", "create_queue", "QueueNameExists", ".")


def explain(explained, peer):
    (moto if peer == "moto" else elasticmq)(explained)
