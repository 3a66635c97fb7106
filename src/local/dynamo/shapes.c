/* The requests of DynamoDB: members in the order in which AWS tells what is wrong with them. */
#include "local/dynamo/shape.h"

#define V "com.amazonaws.dynamodb.v20120810."
#define STRUCT(type, ...)                                                                                              \
    {                                                                                                                  \
        .kind = SHAPE_STRUCT, .name = type, .members = (const struct shape_member[]) {                                 \
            __VA_ARGS__, {                                                                                             \
                0                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
    }
#define OPERATION(...)                                                                                                 \
    {                                                                                                                  \
        .kind = SHAPE_STRUCT, .members = (const struct shape_member[]) {                                               \
            __VA_ARGS__, {                                                                                             \
                0                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
    }
#define LIST(element, ...)                                                                                             \
    { .kind = SHAPE_LIST, .of = &(element), ##__VA_ARGS__ }
#define MAP(type, element, ...)                                                                                        \
    { .kind = SHAPE_MAP, .name = type, .of = &(element), ##__VA_ARGS__ }
#define ENUM(...)                                                                                                      \
    {                                                                                                                  \
        .kind = SHAPE_STRING, .set = (const char *const[]) {                                                           \
            __VA_ARGS__, NULL                                                                                          \
        }                                                                                                              \
    }

/* ==== values ==== */

static const struct shape text = {.kind = SHAPE_STRING, .unconstrained = true};
static const struct shape flag = {.kind = SHAPE_BOOLEAN, .unconstrained = true};
static const struct shape blob = {.kind = SHAPE_BLOB, .unconstrained = true};
static const struct shape absent = {.kind = SHAPE_ABSENT};
static const struct shape texts = LIST(text, .unconstrained = true);
static const struct shape blobs = LIST(blob, .unconstrained = true);

static const struct shape value, values, attributes;
static const struct shape_member value_members[] = {{"S", &text, 0},
                                                    {"N", &text, 0},
                                                    {"B", &blob, 0},
                                                    {"BOOL", &flag, 0},
                                                    {"NULL", &flag, 0},
                                                    {"M", &attributes, 0},
                                                    {"L", &values, 0},
                                                    {"SS", &texts, 0},
                                                    {"NS", &texts, 0},
                                                    {"BS", &blobs, 0},
                                                    {0}};
static const struct shape value = {
    .kind = SHAPE_STRUCT, .name = "AttributeValue", .members = value_members, .unconstrained = true};
static const struct shape values = LIST(value, .unconstrained = true);
static const struct shape attributes = MAP(V "AttributeValue", value, .unconstrained = true);
static const struct shape names = MAP("java.lang.String", text, .unconstrained = true);
static const struct shape key_element = MAP(V "AttributeValue", value, .unconstrained = true, .parameterized = true);

/* ==== what several operations take ==== */

static const struct shape table_name = {.kind = SHAPE_TABLE, .min = 3, .max = 255};
static const struct shape index_name = {.kind = SHAPE_NAME, .min = 3, .max = 255};
static const struct shape required_table_name = {.kind = SHAPE_TABLE};
static const struct shape consumed = ENUM("INDEXES", "TOTAL", "NONE");
static const struct shape metrics = ENUM("SIZE", "NONE");
static const struct shape return_values = ENUM("ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW");
static const struct shape on_failure = ENUM("ALL_OLD", "NONE");
static const struct shape and_or = ENUM("OR", "AND");
static const struct shape attributes_to_get = LIST(text, .min = 1, .max = 255);
static const struct shape comparison = ENUM("IN", "NULL", "BETWEEN", "LT", "NOT_CONTAINS", "EQ", "GT", "NOT_NULL", "NE",
                                            "LE", "BEGINS_WITH", "GE", "CONTAINS");
static const struct shape expected_one =
    STRUCT("ExpectedAttributeValue", {"AttributeValueList", &values, 0}, {"ComparisonOperator", &comparison, 0},
           {"Exists", &flag, 0}, {"Value", &value, 0});
static const struct shape expected = MAP(V "ExpectedAttributeValue", expected_one);

/* ==== one item ==== */

#define CONDITION                                                                                                      \
    {"ConditionExpression", &text, 0}, {"ExpressionAttributeValues", &attributes, 0},                                  \
        {"ExpressionAttributeNames", &names, 0}, {                                                                     \
        "ReturnValuesOnConditionCheckFailure", &on_failure, 0                                                          \
    }

static const struct shape put_item =
    OPERATION({"ReturnConsumedCapacity", &consumed, 0}, {"TableName", &table_name, SHAPE_NOT_NULL},
              {"Item", &attributes, SHAPE_NOT_NULL}, {"ConditionalOperator", &and_or, 0}, {"Expected", &expected, 0},
              {"ReturnValues", &return_values, 0}, {"ReturnItemCollectionMetrics", &metrics, 0}, CONDITION);

static const struct shape delete_item = OPERATION(
    {"ReturnConsumedCapacity", &consumed, 0}, {"TableName", &table_name, SHAPE_NOT_NULL},
    {"ReturnValues", &return_values, 0}, {"ReturnItemCollectionMetrics", &metrics, 0},
    {"Key", &attributes, SHAPE_NOT_NULL}, {"ConditionalOperator", &and_or, 0}, {"Expected", &expected, 0}, CONDITION);

static const struct shape update_action = STRUCT("AttributeValueUpdate", {"Action", &text, 0}, {"Value", &value, 0});
static const struct shape attribute_updates = MAP(V "AttributeValueUpdate", update_action);
static const struct shape update_item =
    OPERATION({"ReturnConsumedCapacity", &consumed, 0}, {"TableName", &table_name, SHAPE_NOT_NULL},
              {"ReturnItemCollectionMetrics", &metrics, 0}, {"ReturnValues", &return_values, 0},
              {"Key", &attributes, SHAPE_NOT_NULL}, {"ConditionalOperator", &and_or, 0}, {"Expected", &expected, 0},
              {"AttributeUpdates", &attribute_updates, 0}, {"UpdateExpression", &text, 0}, CONDITION);

static const struct shape get_item = OPERATION(
    {"ReturnConsumedCapacity", &consumed, 0}, {"AttributesToGet", &attributes_to_get, 0},
    {"TableName", &table_name, SHAPE_NOT_NULL}, {"Key", &attributes, SHAPE_NOT_NULL}, {"ConsistentRead", &flag, 0},
    {"ProjectionExpression", &text, 0}, {"ExpressionAttributeNames", &names, 0});

/* ==== Query, Scan ==== */

static const struct shape selects = ENUM("SPECIFIC_ATTRIBUTES", "COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES");
static const struct shape limit = {.kind = SHAPE_INTEGER, .min = 1, .max = INT32_MAX};
static const struct shape segment = {.kind = SHAPE_INTEGER, .min = 0, .max = 999999};
static const struct shape segments = {.kind = SHAPE_INTEGER, .min = 1, .max = 1000000};
static const struct shape condition =
    STRUCT("Condition", {"AttributeValueList", &values, 0}, {"ComparisonOperator", &comparison, SHAPE_NOT_NULL});
static const struct shape conditions = MAP(V "Condition", condition);

#define READING                                                                                                        \
    {"ConsistentRead", &flag, 0}, {"FilterExpression", &text, 0}, {"ProjectionExpression", &text, 0},                  \
        {"ExpressionAttributeValues", &attributes, 0}, {                                                               \
        "ExpressionAttributeNames", &names, 0                                                                          \
    }

static const struct shape query =
    OPERATION({"Select", &selects, 0}, {"IndexName", &index_name, 0}, {"ReturnConsumedCapacity", &consumed, 0},
              {"QueryFilter", &conditions, 0}, {"TableName", &table_name, SHAPE_NOT_NULL},
              {"ConditionalOperator", &and_or, 0}, {"AttributesToGet", &attributes_to_get, 0}, {"Limit", &limit, 0},
              {"KeyConditions", &conditions, 0}, {"ExclusiveStartKey", &attributes, 0}, {"ScanIndexForward", &flag, 0},
              {"KeyConditionExpression", &text, 0}, READING);

static const struct shape scan = OPERATION(
    {"Select", &selects, 0}, {"IndexName", &index_name, 0}, {"TotalSegments", &segments, 0},
    {"ReturnConsumedCapacity", &consumed, 0}, {"TableName", &table_name, SHAPE_NOT_NULL},
    {"ConditionalOperator", &and_or, 0}, {"ScanFilter", &conditions, 0}, {"Segment", &segment, 0}, {"Limit", &limit, 0},
    {"AttributesToGet", &attributes_to_get, 0}, {"ExclusiveStartKey", &attributes, 0}, READING);

/* ==== batches, transactions ==== */

static const struct shape keys = LIST(key_element, .min = 1, .max = 100);
static const struct shape keys_and_attributes =
    STRUCT("KeysAndAttributes", {"Keys", &keys, SHAPE_NOT_NULL}, {"AttributesToGet", &attributes_to_get, 0},
           {"ConsistentRead", &flag, 0}, {"ProjectionExpression", &text, 0}, {"ExpressionAttributeNames", &names, 0});
static const struct shape gets = {
    .kind = SHAPE_TABLE_MAP, .name = V "KeysAndAttributes", .of = &keys_and_attributes, .min = 1};
static const struct shape batch_get =
    OPERATION({"ReturnConsumedCapacity", &consumed, 0}, {"RequestItems", &gets, SHAPE_NOT_NULL});

static const struct shape delete_request = STRUCT("DeleteRequest", {"Key", &attributes, SHAPE_NOT_NULL});
static const struct shape put_request = STRUCT("PutRequest", {"Item", &attributes, SHAPE_NOT_NULL});
static const struct shape write_request =
    STRUCT("WriteRequest", {"DeleteRequest", &delete_request, 0}, {"PutRequest", &put_request, 0});
static const struct shape write_requests = LIST(write_request, .parameterized = true);
static const struct shape writes = {.kind = SHAPE_TABLE_MAP,
                                    .name = "java.util.List<" V "WriteRequest>",
                                    .of = &write_requests,
                                    .min = 1,
                                    .min_value = 1,
                                    .max_value = 25};
static const struct shape batch_write =
    OPERATION({"ReturnConsumedCapacity", &consumed, 0}, {"ReturnItemCollectionMetrics", &metrics, 0},
              {"RequestItems", &writes, SHAPE_NOT_NULL});

static const struct shape token = {.kind = SHAPE_STRING, .min = 1, .max = 36};
static const struct shape condition_check =
    STRUCT("ConditionCheck", {"TableName", &table_name, SHAPE_NOT_NULL}, {"Key", &attributes, SHAPE_NOT_NULL},
           {"ConditionExpression", &text, SHAPE_NOT_NULL}, CONDITION);
static const struct shape transact_put =
    STRUCT("Put", {"TableName", &table_name, SHAPE_NOT_NULL}, {"Item", &attributes, SHAPE_NOT_NULL}, CONDITION);
static const struct shape transact_delete =
    STRUCT("Delete", {"TableName", &table_name, SHAPE_NOT_NULL}, {"Key", &attributes, SHAPE_NOT_NULL}, CONDITION);
static const struct shape transact_update =
    STRUCT("Update", {"TableName", &table_name, SHAPE_NOT_NULL}, {"Key", &attributes, SHAPE_NOT_NULL},
           {"UpdateExpression", &text, SHAPE_NOT_NULL}, CONDITION);
static const struct shape transact_get_one =
    STRUCT("Get", {"TableName", &table_name, SHAPE_NOT_NULL}, {"Key", &attributes, SHAPE_NOT_NULL},
           {"ProjectionExpression", &text, 0}, {"ExpressionAttributeNames", &names, 0});
static const struct shape transact_write_item =
    STRUCT("TransactWriteItem", {"ConditionCheck", &condition_check, 0}, {"Put", &transact_put, 0},
           {"Delete", &transact_delete, 0}, {"Update", &transact_update, 0});
static const struct shape transact_get_item = STRUCT("TransactGetItem", {"Get", &transact_get_one, SHAPE_NOT_NULL});
static const struct shape transact_writes = LIST(transact_write_item, .min = 1, .max = 100);
static const struct shape transact_gets = LIST(transact_get_item, .min = 1, .max = 100);
static const struct shape transact_write =
    OPERATION({"ReturnConsumedCapacity", &consumed, 0}, {"ReturnItemCollectionMetrics", &metrics, 0},
              {"ClientRequestToken", &token, 0}, {"TransactItems", &transact_writes, SHAPE_NOT_NULL});
static const struct shape transact_get =
    OPERATION({"ReturnConsumedCapacity", &consumed, 0}, {"TransactItems", &transact_gets, SHAPE_NOT_NULL});

/* ==== tables ==== */

static const struct shape units = {.kind = SHAPE_LONG, .min = 1};
static const struct shape throughput = STRUCT("ProvisionedThroughput", {"WriteCapacityUnits", &units, SHAPE_NOT_NULL},
                                              {"ReadCapacityUnits", &units, SHAPE_NOT_NULL});
static const struct shape billing = ENUM("PROVISIONED", "PAY_PER_REQUEST");
static const struct shape attribute_type = ENUM("B", "N", "S");
static const struct shape key_type = ENUM("HASH", "RANGE");
static const struct shape projection_type = ENUM("ALL", "INCLUDE", "KEYS_ONLY");
static const struct shape attribute_definition = STRUCT("AttributeDefinition", {"AttributeName", &text, SHAPE_NOT_NULL},
                                                        {"AttributeType", &attribute_type, SHAPE_NOT_NULL});
static const struct shape attribute_definitions = LIST(attribute_definition);
static const struct shape key_schema_element =
    STRUCT("KeySchemaElement", {"AttributeName", &text, SHAPE_NOT_NULL}, {"KeyType", &key_type, SHAPE_NOT_NULL});
static const struct shape key_schema = LIST(key_schema_element, .min = 1, .max = 2);
static const struct shape non_key = LIST(text, .min = 1);
static const struct shape projection =
    STRUCT("Projection", {"ProjectionType", &projection_type, 0}, {"NonKeyAttributes", &non_key, 0});
static const struct shape local_index =
    STRUCT("LocalSecondaryIndex", {"IndexName", &index_name, SHAPE_NOT_NULL},
           {"KeySchema", &key_schema, SHAPE_NOT_NULL}, {"Projection", &projection, SHAPE_NOT_NULL});
static const struct shape local_indexes = LIST(local_index);
static const struct shape global_index = STRUCT(
    "GlobalSecondaryIndex", {"IndexName", &index_name, SHAPE_NOT_NULL}, {"KeySchema", &key_schema, SHAPE_NOT_NULL},
    {"Projection", &projection, SHAPE_NOT_NULL}, {"ProvisionedThroughput", &throughput, 0},
    {"OnDemandThroughput", &absent, 0}, {"WarmThroughput", &absent, 0});
static const struct shape global_indexes = LIST(global_index);

static const struct shape stream_view = ENUM("NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES", "KEYS_ONLY");
static const struct shape stream =
    STRUCT("StreamSpecification", {"StreamEnabled", &flag, SHAPE_NOT_NULL}, {"StreamViewType", &stream_view, 0});
static const struct shape sse_type = ENUM("AES256", "KMS");
static const struct shape sse =
    STRUCT("SSESpecification", {"Enabled", &flag, 0}, {"SSEType", &sse_type, 0}, {"KMSMasterKeyId", &text, 0});
static const struct shape table_class = ENUM("STANDARD", "STANDARD_INFREQUENT_ACCESS");
static const struct shape tag = STRUCT("Tag", {"Key", &text, SHAPE_NOT_NULL}, {"Value", &text, SHAPE_NOT_NULL});
static const struct shape tags = LIST(tag);

#define SETTINGS                                                                                                       \
    {"StreamSpecification", &stream, 0}, {"SSESpecification", &sse, 0}, {"TableClass", &table_class, 0},               \
        {"DeletionProtectionEnabled", &flag, 0}, {"OnDemandThroughput", &absent, 0}, {"WarmThroughput", &absent, 0}, { \
        "GlobalTableSettingsReplicationMode", &absent, 0                                                               \
    }

static const struct shape create_table =
    OPERATION({"AttributeDefinitions", &attribute_definitions, SHAPE_NOT_NULL},
              {"TableName", &required_table_name, SHAPE_REQUIRED}, {"BillingMode", &billing, 0},
              {"ProvisionedThroughput", &throughput, 0}, {"KeySchema", &key_schema, SHAPE_NOT_NULL},
              {"LocalSecondaryIndexes", &local_indexes, 0}, {"GlobalSecondaryIndexes", &global_indexes, 0}, SETTINGS,
              {"Tags", &tags, 0}, {"ResourcePolicy", &absent, 0}, {"GlobalTableSourceArn", &absent, 0});

static const struct shape index_update = STRUCT(
    "UpdateGlobalSecondaryIndexAction", {"IndexName", &index_name, SHAPE_NOT_NULL},
    {"ProvisionedThroughput", &throughput, 0}, {"OnDemandThroughput", &absent, 0}, {"WarmThroughput", &absent, 0});
static const struct shape index_create = STRUCT(
    "CreateGlobalSecondaryIndexAction", {"Projection", &projection, SHAPE_NOT_NULL},
    {"IndexName", &index_name, SHAPE_NOT_NULL}, {"ProvisionedThroughput", &throughput, 0},
    {"KeySchema", &key_schema, SHAPE_NOT_NULL}, {"OnDemandThroughput", &absent, 0}, {"WarmThroughput", &absent, 0});
static const struct shape index_delete =
    STRUCT("DeleteGlobalSecondaryIndexAction", {"IndexName", &index_name, SHAPE_NOT_NULL});
static const struct shape index_change = STRUCT("GlobalSecondaryIndexUpdate", {"Update", &index_update, 0},
                                                {"Create", &index_create, 0}, {"Delete", &index_delete, 0});
static const struct shape index_changes = LIST(index_change);
static const struct shape update_table =
    OPERATION({"TableName", &required_table_name, SHAPE_REQUIRED}, {"ProvisionedThroughput", &throughput, 0},
              {"BillingMode", &billing, 0}, {"GlobalSecondaryIndexUpdates", &index_changes, 0},
              {"AttributeDefinitions", &attribute_definitions, 0}, SETTINGS, {"ReplicaUpdates", &absent, 0},
              {"MultiRegionConsistency", &absent, 0}, {"GlobalTableWitnessUpdates", &absent, 0});

static const struct shape only_table = OPERATION({"TableName", &required_table_name, SHAPE_REQUIRED});
static const struct shape list_limit = {.kind = SHAPE_INTEGER, .min = 1, .max = 100};
static const struct shape list_tables =
    OPERATION({"Limit", &list_limit, 0}, {"ExclusiveStartTableName", &index_name, 0});

static const struct shape ttl_name = {.kind = SHAPE_STRING, .min = 1, .max = 255};
static const struct shape ttl =
    STRUCT("TimeToLiveSpecification", {"AttributeName", &ttl_name, SHAPE_NOT_NULL}, {"Enabled", &flag, SHAPE_NOT_NULL});
static const struct shape update_ttl =
    OPERATION({"TableName", &required_table_name, SHAPE_REQUIRED}, {"TimeToLiveSpecification", &ttl, SHAPE_NOT_NULL});

/* ==== tags, account ==== */

static const struct shape tag_resource = OPERATION({"ResourceArn", &text, 0}, {"Tags", &tags, 0});
static const struct shape untag_resource = OPERATION({"ResourceArn", &text, 0}, {"TagKeys", &texts, 0});
static const struct shape list_tags = OPERATION({"ResourceArn", &text, 0}, {"NextToken", &text, 0});
static const struct shape nothing = {.kind = SHAPE_STRUCT, .members = (const struct shape_member[]){{0}}};

const struct shape *shape_of(enum aws_op op) {
    static const struct shape *const all[AWS_OPS] = {
        [AWS_DYNAMODB_CreateTable] = &create_table,
        [AWS_DYNAMODB_DescribeTable] = &only_table,
        [AWS_DYNAMODB_ListTables] = &list_tables,
        [AWS_DYNAMODB_UpdateTable] = &update_table,
        [AWS_DYNAMODB_DeleteTable] = &only_table,
        [AWS_DYNAMODB_TagResource] = &tag_resource,
        [AWS_DYNAMODB_UntagResource] = &untag_resource,
        [AWS_DYNAMODB_ListTagsOfResource] = &list_tags,
        [AWS_DYNAMODB_DescribeLimits] = &nothing,
        [AWS_DYNAMODB_DescribeEndpoints] = &nothing,
        [AWS_DYNAMODB_DescribeContinuousBackups] = &only_table,
        [AWS_DYNAMODB_UpdateTimeToLive] = &update_ttl,
        [AWS_DYNAMODB_DescribeTimeToLive] = &only_table,
        [AWS_DYNAMODB_PutItem] = &put_item,
        [AWS_DYNAMODB_GetItem] = &get_item,
        [AWS_DYNAMODB_UpdateItem] = &update_item,
        [AWS_DYNAMODB_DeleteItem] = &delete_item,
        [AWS_DYNAMODB_Query] = &query,
        [AWS_DYNAMODB_Scan] = &scan,
        [AWS_DYNAMODB_BatchGetItem] = &batch_get,
        [AWS_DYNAMODB_BatchWriteItem] = &batch_write,
        [AWS_DYNAMODB_TransactWriteItems] = &transact_write,
        [AWS_DYNAMODB_TransactGetItems] = &transact_get,
    };
    return all[op];
}
