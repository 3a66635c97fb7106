-- What DynamoDB answers to requests that are no good: types first, then every constraint in one message, then what does not
-- go together. Requests as bytes, answers word for word; both as the tests of dynalite recorded them from AWS.
local json = require "cjson"
local t = require "t.local"

local TABLE = [[{"TableName":"abc","BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"h","KeyType":"HASH"},{"AttributeName":"r","KeyType":"RANGE"}],
  "AttributeDefinitions":[{"AttributeName":"h","AttributeType":"S"},{"AttributeName":"r","AttributeType":"N"}]}]]

local types = {
  validation = "com.amazon.coral.validate#ValidationException",
  serialization = "com.amazon.coral.service#SerializationException",
  denied = "com.amazon.coral.service#AccessDeniedException",
  missing = "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException",
}

-- Of actions that take a table's name and nothing else.
local OF_A_TABLE = {
  validation = {
    '{}', "The parameter 'TableName' is required but was not present in the request",
    '{"TableName":"ab"}', 'TableName must be at least 3 characters long and at most 255 characters long',
    '{"TableName":"ab;"}', "1 validation error detected: Value 'ab;' at 'tableName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+",
  },
  missing = {
    '{"TableName":"nope"}', 'Requested resource not found: Table: nope not found',
  },
}

-- action -> kind -> body, message, body, message, ...
local cases = {
  PutItem = {
    validation = {
      '{}', "2 validation errors detected: Value null at 'tableName' failed to satisfy constraint: Member must not be null; Value null at 'item' failed to satisfy constraint: Member must not be null",
      '{"TableName":"abc;","ReturnConsumedCapacity":"hi"}', "3 validation errors detected: Value 'hi' at 'returnConsumedCapacity' failed to satisfy constraint: Member must satisfy enum value set: [INDEXES, TOTAL, NONE]; Value 'abc;' at 'tableName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; Value null at 'item' failed to satisfy constraint: Member must not be null",
      '{"TableName":"abc","Item":{"a":{}}}', 'Supplied AttributeValue is empty, must contain exactly one of the supported datatypes',
      '{"TableName":"a;","ReturnConsumedCapacity":"hi","ReturnItemCollectionMetrics":"hi","ReturnValues":"hi","ConditionalOperator":"hi","Expected":{"a":{"ComparisonOperator":"hi"}}}', "8 validation errors detected: Value 'hi' at 'returnConsumedCapacity' failed to satisfy constraint: Member must satisfy enum value set: [INDEXES, TOTAL, NONE]; Value 'a;' at 'tableName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; Value 'a;' at 'tableName' failed to satisfy constraint: Member must have length greater than or equal to 3; Value null at 'item' failed to satisfy constraint: Member must not be null; Value 'hi' at 'conditionalOperator' failed to satisfy constraint: Member must satisfy enum value set: [OR, AND]; Value 'hi' at 'expected.a.member.comparisonOperator' failed to satisfy constraint: Member must satisfy enum value set: [IN, NULL, BETWEEN, LT, NOT_CONTAINS, EQ, GT, NOT_NULL, NE, LE, BEGINS_WITH, GE, CONTAINS]; Value 'hi' at 'returnValues' failed to satisfy constraint: Member must satisfy enum value set: [ALL_NEW, UPDATED_OLD, ALL_OLD, NONE, UPDATED_NEW]; Value 'hi' at 'returnItemCollectionMetrics' failed to satisfy constraint: Member must satisfy enum value set: [SIZE, NONE]",
      '{"TableName":"abc","Item":{},"Expected":{},"ConditionExpression":"x"}', 'Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {Expected} Expression parameters: {ConditionExpression}',
      '{"TableName":"abc","Item":{},"ExpressionAttributeNames":{}}', 'ExpressionAttributeNames can only be specified when using expressions',
      '{"TableName":"abc","Item":{"h":{"S":"a"},"r":{"N":"1"}},"ExpressionAttributeValues":{}}', 'ExpressionAttributeValues can only be specified when using expressions: ConditionExpression is null',
      '{"TableName":"abc","Item":{"h":{"S":"a"},"r":{"N":"1"}},"ConditionExpression":"","ExpressionAttributeNames":{"a":"b"}}', 'ExpressionAttributeNames contains invalid key: Syntax error; key: "a"',
      '{"TableName":"abc","Item":{"h":{"S":"a"},"r":{"N":"1"}},"ConditionExpression":"","ExpressionAttributeNames":{}}', 'ExpressionAttributeNames must not be empty',
      '{"TableName":"abc","Item":{"a":{}}}', 'Supplied AttributeValue is empty, must contain exactly one of the supported datatypes',
      '{"TableName":"abc","Item":{"a":{"a":"b"}}}', 'Supplied AttributeValue is empty, must contain exactly one of the supported datatypes',
      '{"TableName":"abc","Item":{"a":{"S":"a","N":"b"}}}', 'The parameter cannot be converted to a numeric value: b',
      '{"TableName":"abc","Item":{"a":{"S":"a","N":"1"}}}', 'Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes',
      '{"TableName":"abc","Item":{"a":{"N":""}}}', 'The parameter cannot be converted to a numeric value',
      '{"TableName":"abc","Item":{"a":{"N":"b"}}}', 'The parameter cannot be converted to a numeric value: b',
      '{"TableName":"abc","Item":{"a":{"N":"1e126"}}}', 'Number overflow. Attempting to store a number with magnitude larger than supported range',
      '{"TableName":"abc","Item":{"a":{"N":"1e-131"}}}', 'Number underflow. Attempting to store a number with magnitude smaller than supported range',
      '{"TableName":"abc","Item":{"a":{"N":"123456789012345678901234567890123456789"}}}', 'Attempting to store more than 38 significant digits in a Number',
      '{"TableName":"abc","Item":{"a":{"NULL":false}}}', 'One or more parameter values were invalid: Null attribute value types must have the value of true',
      '{"TableName":"abc","Item":{"a":{"SS":[]}}}', 'One or more parameter values were invalid: An string set  may not be empty',
      '{"TableName":"abc","Item":{"a":{"NS":[]}}}', 'One or more parameter values were invalid: An number set  may not be empty',
      '{"TableName":"abc","Item":{"a":{"BS":[]}}}', 'One or more parameter values were invalid: Binary sets should not be empty',
      '{"TableName":"abc","Item":{"a":{"SS":["a","a"]}}}', 'One or more parameter values were invalid: Input collection [a, a] contains duplicates.',
      '{"TableName":"abc","Item":{"a":{"NS":["1","1.0"]}}}', 'Input collection contains duplicates',
      '{"TableName":"abc","Item":{"a":{"BS":["Yg==","Yg=="]}}}', 'One or more parameter values were invalid: Input collection [Yg==, Yg==]of type BS contains duplicates.',
      '{"TableName":"abc","Item":{"a":{"NS":["1","b"]}}}', 'The parameter cannot be converted to a numeric value: b',
      '{"TableName":"abc","Item":{"a":{"L":[{}]}}}', 'Supplied AttributeValue is empty, must contain exactly one of the supported datatypes',
      '{"TableName":"abc","Item":{"a":{"M":{"a":{"N":"x"}}}}}', 'The parameter cannot be converted to a numeric value: x',
      '{"TableName":"abc","Item":{},"ReturnValues":"ALL_NEW"}', 'ReturnValues can only be ALL_OLD or NONE',
      '{"TableName":"abc","Item":{"a":{"N":"x"}},"ReturnValues":"ALL_NEW"}', 'The parameter cannot be converted to a numeric value: x',
      '{"TableName":"abc","Item":{},"Expected":{"a":{}}}', 'One or more parameter values were invalid: Value must be provided when Exists is null for Attribute: a',
    },
    serialization = {
      '{"TableName":23}', 'NUMBER_VALUE cannot be converted to String',
      '{"TableName":"abc","Item":"x"}', 'Unexpected field type',
      '{"TableName":"abc","Item":["x"]}', 'Unrecognized collection type java.util.Map<java.lang.String, com.amazonaws.dynamodb.v20120810.AttributeValue>',
      '{"TableName":"abc","Item":{"a":"x"}}', 'Unexpected value type in payload',
      '{"TableName":"abc","Item":{"a":[]}}', 'Unrecognized collection type class com.amazonaws.dynamodb.v20120810.AttributeValue',
      '{"TableName":"abc","Item":{},"Expected":"x"}', 'Unexpected field type',
      '{"TableName":"abc","Item":{},"Expected":{"a":{"Exists":"maybe"}}}', 'Unexpected token received from parser',
      '{"TableName":"abc","Item":{},"Expected":{"a":{"Value":"x"}}}', 'Unexpected field type',
      '{"TableName":"abc","Item":{},"Expected":{"a":1}}', 'Unexpected value type in payload',
      '{"TableName":"abc","Item":{"a":{"S":1}}}', 'NUMBER_VALUE cannot be converted to String',
      '{"TableName":"abc","Item":{"a":{"S":true}}}', 'TRUE_VALUE cannot be converted to String',
      '{"TableName":"abc","Item":{"a":{"S":[]}}}', 'Unrecognized collection type class java.lang.String',
      '{"TableName":"abc","Item":{"a":{"S":{}}}}', 'Start of structure or map found where not expected',
      '{"TableName":"abc","Item":{"a":{"N":1}}}', 'NUMBER_VALUE cannot be converted to String',
      '{"TableName":"abc","Item":{"a":{"N":1.5}}}', 'DECIMAL_VALUE cannot be converted to String',
      '{"TableName":"abc","Item":{"a":{"N":false}}}', 'FALSE_VALUE cannot be converted to String',
      '{"TableName":"abc","Item":{"a":{"B":1}}}', 'only base-64-encoded strings are convertible to bytes',
      '{"TableName":"abc","Item":{"a":{"B":"a"}}}', 'Base64 encoded length is expected a multiple of 4 bytes but found: 1',
      '{"TableName":"abc","Item":{"a":{"B":"-----"}}}', 'Base64 encoded length is expected a multiple of 4 bytes but found: 5',
      '{"TableName":"abc","Item":{"a":{"B":"----"}}}', 'Invalid last non-pad Base64 character dectected',
      '{"TableName":"abc","Item":{"a":{"B":[]}}}', 'Unrecognized collection type class java.nio.ByteBuffer',
      '{"TableName":"abc","Item":{"a":{"BOOL":"x"}}}', 'Unexpected token received from parser',
      '{"TableName":"abc","Item":{"a":{"BOOL":1}}}', 'NUMBER_VALUE cannot be converted to Boolean',
      '{"TableName":"abc","Item":{"a":{"BOOL":[]}}}', 'Unrecognized collection type class java.lang.Boolean',
      '{"TableName":"abc","Item":{"a":{"NULL":{}}}}', 'Start of structure or map found where not expected',
      '{"TableName":"abc","Item":{"a":{"SS":"a"}}}', 'Unexpected field type',
      '{"TableName":"abc","Item":{"a":{"SS":[1]}}}', 'NUMBER_VALUE cannot be converted to String',
      '{"TableName":"abc","Item":{"a":{"NS":{}}}}', 'Start of structure or map found where not expected',
      '{"TableName":"abc","Item":{"a":{"BS":["a"]}}}', 'Base64 encoded length is expected a multiple of 4 bytes but found: 1',
      '{"TableName":"abc","Item":{"a":{"L":"a"}}}', 'Unexpected field type',
      '{"TableName":"abc","Item":{"a":{"L":[1]}}}', 'Unexpected value type in payload',
      '{"TableName":"abc","Item":{"a":{"L":[[]]}}}', 'Unrecognized collection type class com.amazonaws.dynamodb.v20120810.AttributeValue',
      '{"TableName":"abc","Item":{"a":{"M":"a"}}}', 'Unexpected field type',
      '{"TableName":"abc","Item":{"a":{"M":[]}}}', 'Unrecognized collection type java.util.Map<java.lang.String, com.amazonaws.dynamodb.v20120810.AttributeValue>',
      '{"TableName":"abc","Item":{"a":{"M":{"a":1}}}}', 'Unexpected value type in payload',
    },
  },
  DeleteItem = {
    validation = {
      '{}', "2 validation errors detected: Value null at 'tableName' failed to satisfy constraint: Member must not be null; Value null at 'key' failed to satisfy constraint: Member must not be null",
      '{"TableName":"abc;","ReturnConsumedCapacity":"hi"}', "3 validation errors detected: Value 'hi' at 'returnConsumedCapacity' failed to satisfy constraint: Member must satisfy enum value set: [INDEXES, TOTAL, NONE]; Value 'abc;' at 'tableName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; Value null at 'key' failed to satisfy constraint: Member must not be null",
      '{"TableName":"a;","ReturnConsumedCapacity":"hi","ReturnItemCollectionMetrics":"hi","ReturnValues":"hi","ConditionalOperator":"hi","Expected":{"a":{"ComparisonOperator":"hi"}}}', "8 validation errors detected: Value 'hi' at 'returnConsumedCapacity' failed to satisfy constraint: Member must satisfy enum value set: [INDEXES, TOTAL, NONE]; Value 'a;' at 'tableName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; Value 'a;' at 'tableName' failed to satisfy constraint: Member must have length greater than or equal to 3; Value 'hi' at 'returnValues' failed to satisfy constraint: Member must satisfy enum value set: [ALL_NEW, UPDATED_OLD, ALL_OLD, NONE, UPDATED_NEW]; Value 'hi' at 'returnItemCollectionMetrics' failed to satisfy constraint: Member must satisfy enum value set: [SIZE, NONE]; Value null at 'key' failed to satisfy constraint: Member must not be null; Value 'hi' at 'conditionalOperator' failed to satisfy constraint: Member must satisfy enum value set: [OR, AND]; Value 'hi' at 'expected.a.member.comparisonOperator' failed to satisfy constraint: Member must satisfy enum value set: [IN, NULL, BETWEEN, LT, NOT_CONTAINS, EQ, GT, NOT_NULL, NE, LE, BEGINS_WITH, GE, CONTAINS]",
    },
  },
  UpdateItem = {
    validation = {
      '{}', "2 validation errors detected: Value null at 'tableName' failed to satisfy constraint: Member must not be null; Value null at 'key' failed to satisfy constraint: Member must not be null",
      '{"TableName":"abc;","ReturnConsumedCapacity":"hi"}', "3 validation errors detected: Value 'hi' at 'returnConsumedCapacity' failed to satisfy constraint: Member must satisfy enum value set: [INDEXES, TOTAL, NONE]; Value 'abc;' at 'tableName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; Value null at 'key' failed to satisfy constraint: Member must not be null",
      '{"TableName":"abc","Key":{"a":{}}}', 'Supplied AttributeValue is empty, must contain exactly one of the supported datatypes',
      '{"TableName":"a;","ReturnConsumedCapacity":"hi","ReturnItemCollectionMetrics":"hi","ReturnValues":"hi","ConditionalOperator":"hi","Expected":{"a":{"ComparisonOperator":"hi"}}}', "8 validation errors detected: Value 'hi' at 'returnConsumedCapacity' failed to satisfy constraint: Member must satisfy enum value set: [INDEXES, TOTAL, NONE]; Value 'a;' at 'tableName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; Value 'a;' at 'tableName' failed to satisfy constraint: Member must have length greater than or equal to 3; Value 'hi' at 'returnItemCollectionMetrics' failed to satisfy constraint: Member must satisfy enum value set: [SIZE, NONE]; Value 'hi' at 'returnValues' failed to satisfy constraint: Member must satisfy enum value set: [ALL_NEW, UPDATED_OLD, ALL_OLD, NONE, UPDATED_NEW]; Value null at 'key' failed to satisfy constraint: Member must not be null; Value 'hi' at 'conditionalOperator' failed to satisfy constraint: Member must satisfy enum value set: [OR, AND]; Value 'hi' at 'expected.a.member.comparisonOperator' failed to satisfy constraint: Member must satisfy enum value set: [IN, NULL, BETWEEN, LT, NOT_CONTAINS, EQ, GT, NOT_NULL, NE, LE, BEGINS_WITH, GE, CONTAINS]",
      '{"TableName":"abc","Key":{},"Expected":{},"ConditionExpression":"x"}', 'Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {Expected} Expression parameters: {ConditionExpression}',
      '{"TableName":"abc","Key":{},"ExpressionAttributeNames":{}}', 'ExpressionAttributeNames can only be specified when using expressions',
      '{"TableName":"abc","Key":{"h":{"S":"a"},"r":{"N":"1"}},"ExpressionAttributeValues":{}}', 'ExpressionAttributeValues can only be specified when using expressions: UpdateExpression and ConditionExpression are null',
      '{"TableName":"abc","Key":{"h":{"S":"a"},"r":{"N":"1"}},"ConditionExpression":"","ExpressionAttributeNames":{"a":"b"}}', 'ExpressionAttributeNames contains invalid key: Syntax error; key: "a"',
      '{"TableName":"abc","Key":{"h":{"S":"a"},"r":{"N":"1"}},"ConditionExpression":"","ExpressionAttributeNames":{}}', 'ExpressionAttributeNames must not be empty',
      '{"TableName":"abc","Key":{},"AttributeUpdates":{"a":{}}}', 'One or more parameter values were invalid: Only DELETE action is allowed when no attribute value is specified',
      '{"TableName":"abc","Key":{},"AttributeUpdates":{"a":{"Action":"PUT"}}}', 'One or more parameter values were invalid: Only DELETE action is allowed when no attribute value is specified',
      '{"TableName":"abc","Key":{},"AttributeUpdates":{},"UpdateExpression":"x"}', 'Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {AttributeUpdates} Expression parameters: {UpdateExpression}',
      '{"TableName":"abc","Key":{},"UpdateExpression":""}', 'Invalid UpdateExpression: The expression can not be empty;',
    },
    serialization = {
      '{"TableName":23}', 'NUMBER_VALUE cannot be converted to String',
      '{"TableName":"abc","Key":"x"}', 'Unexpected field type',
      '{"TableName":"abc","Key":["x"]}', 'Unrecognized collection type java.util.Map<java.lang.String, com.amazonaws.dynamodb.v20120810.AttributeValue>',
      '{"TableName":"abc","Key":{"a":"x"}}', 'Unexpected value type in payload',
      '{"TableName":"abc","Key":{"a":[]}}', 'Unrecognized collection type class com.amazonaws.dynamodb.v20120810.AttributeValue',
      '{"TableName":"abc","Key":{},"Expected":"x"}', 'Unexpected field type',
      '{"TableName":"abc","Key":{},"Expected":{"a":{"Exists":"maybe"}}}', 'Unexpected token received from parser',
      '{"TableName":"abc","Key":{},"Expected":{"a":{"Value":"x"}}}', 'Unexpected field type',
      '{"TableName":"abc","Key":{},"Expected":{"a":1}}', 'Unexpected value type in payload',
      '{"TableName":"abc","Key":{"a":{"S":1}}}', 'NUMBER_VALUE cannot be converted to String',
      '{"TableName":"abc","Key":{},"AttributeUpdates":{"a":1}}', 'Unexpected value type in payload',
      '{"TableName":"abc","Key":{},"AttributeUpdates":{"a":{"Value":1}}}', 'Unexpected field type',
    },
  },
  GetItem = {
    validation = {
      '{}', "2 validation errors detected: Value null at 'tableName' failed to satisfy constraint: Member must not be null; Value null at 'key' failed to satisfy constraint: Member must not be null",
      '{"TableName":"abc;","ReturnConsumedCapacity":"hi"}', "3 validation errors detected: Value 'hi' at 'returnConsumedCapacity' failed to satisfy constraint: Member must satisfy enum value set: [INDEXES, TOTAL, NONE]; Value 'abc;' at 'tableName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; Value null at 'key' failed to satisfy constraint: Member must not be null",
      '{"TableName":"abc","Key":{"a":{}}}', 'Supplied AttributeValue is empty, must contain exactly one of the supported datatypes',
      '{"TableName":"ab","AttributesToGet":[],"ReturnConsumedCapacity":"hi"}', "4 validation errors detected: Value 'hi' at 'returnConsumedCapacity' failed to satisfy constraint: Member must satisfy enum value set: [INDEXES, TOTAL, NONE]; Value '[]' at 'attributesToGet' failed to satisfy constraint: Member must have length greater than or equal to 1; Value 'ab' at 'tableName' failed to satisfy constraint: Member must have length greater than or equal to 3; Value null at 'key' failed to satisfy constraint: Member must not be null",
      '{"TableName":"abc","Key":{},"AttributesToGet":["a","a"]}', 'One or more parameter values were invalid: Duplicate value in attribute name: a',
      '{"TableName":"abc","Key":{"a":{"S":""}},"AttributesToGet":["a"],"ProjectionExpression":"a"}', 'Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {AttributesToGet} Expression parameters: {ProjectionExpression}',
      '{"TableName":"abc","Key":{},"ProjectionExpression":""}', 'Invalid ProjectionExpression: The expression can not be empty;',
      '{"TableName":"abc","Key":{},"ExpressionAttributeNames":{}}', 'ExpressionAttributeNames can only be specified when using expressions',
    },
    serialization = {
      '{"TableName":23}', 'NUMBER_VALUE cannot be converted to String',
      '{"TableName":"abc","Key":"x"}', 'Unexpected field type',
      '{"TableName":"abc","Key":["x"]}', 'Unrecognized collection type java.util.Map<java.lang.String, com.amazonaws.dynamodb.v20120810.AttributeValue>',
      '{"TableName":"abc","Key":{"a":"x"}}', 'Unexpected value type in payload',
      '{"TableName":"abc","Key":{"a":[]}}', 'Unrecognized collection type class com.amazonaws.dynamodb.v20120810.AttributeValue',
      '{"TableName":"abc","Key":{},"AttributesToGet":"x"}', 'Unexpected field type',
      '{"TableName":"abc","Key":{},"AttributesToGet":[1]}', 'NUMBER_VALUE cannot be converted to String',
      '{"TableName":"abc","Key":{},"ConsistentRead":"x"}', 'Unexpected token received from parser',
    },
  },
  Query = {
    validation = {
      '{}', "1 validation error detected: Value null at 'tableName' failed to satisfy constraint: Member must not be null",
      '{"TableName":"a;","IndexName":"b;","Select":"x","ReturnConsumedCapacity":"y","ConditionalOperator":"z","Limit":0,"AttributesToGet":[],"QueryFilter":{"a":{}},"KeyConditions":{"a":{}}}', "10 validation errors detected: Value 'x' at 'select' failed to satisfy constraint: Member must satisfy enum value set: [SPECIFIC_ATTRIBUTES, COUNT, ALL_ATTRIBUTES, ALL_PROJECTED_ATTRIBUTES]; Value 'b;' at 'indexName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; Value 'b;' at 'indexName' failed to satisfy constraint: Member must have length greater than or equal to 3; Value 'y' at 'returnConsumedCapacity' failed to satisfy constraint: Member must satisfy enum value set: [INDEXES, TOTAL, NONE]; Value null at 'queryFilter.a.member.comparisonOperator' failed to satisfy constraint: Member must not be null; Value 'a;' at 'tableName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; Value 'a;' at 'tableName' failed to satisfy constraint: Member must have length greater than or equal to 3; Value 'z' at 'conditionalOperator' failed to satisfy constraint: Member must satisfy enum value set: [OR, AND]; Value '[]' at 'attributesToGet' failed to satisfy constraint: Member must have length greater than or equal to 1; Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1",
      '{"TableName":"abc"}', 'Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.',
      '{"TableName":"abc","ExclusiveStartKey":{"a":{}}}', 'The provided starting key is invalid: Supplied AttributeValue is empty, must contain exactly one of the supported datatypes',
      '{"TableName":"abc","ExclusiveStartKey":{"a":{"N":"x"}}}', 'The parameter cannot be converted to a numeric value: x',
      '{"TableName":"abc","KeyConditions":{}}', 'Conditions can be of length 1 or 2 only',
      '{"TableName":"abc","QueryFilter":{},"FilterExpression":"","KeyConditionExpression":""}', 'Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {QueryFilter} Expression parameters: {FilterExpression, KeyConditionExpression}',
      '{"TableName":"abc","FilterExpression":"","KeyConditions":{}}', 'Invalid FilterExpression: The expression can not be empty;',
      '{"TableName":"abc","KeyConditionExpression":""}', 'Invalid KeyConditionExpression: The expression can not be empty;',
      '{"TableName":"abc","AttributesToGet":["a","a"]}', 'One or more parameter values were invalid: Duplicate value in attribute name: a',
      '{"TableName":"abc","KeyConditions":{"a":{"ComparisonOperator":"LT","AttributeValueList":[{"SS":["a"]}]}}}', 'One or more parameter values were invalid: ComparisonOperator LT is not valid for SS AttributeValue type',
      '{"TableName":"abc","ExpressionAttributeValues":{}}', 'ExpressionAttributeValues can only be specified when using expressions: FilterExpression and KeyConditionExpression are null',
    },
    serialization = {
      '{"TableName":"abc","Limit":"a"}', 'STRING_VALUE cannot be converted to Integer',
      '{"TableName":"abc","Limit":true}', 'TRUE_VALUE cannot be converted to Integer',
      '{"TableName":"abc","Limit":[]}', 'Unrecognized collection type class java.lang.Integer',
      '{"TableName":"abc","Limit":{}}', 'Start of structure or map found where not expected',
      '{"TableName":"abc","KeyConditions":"a"}', 'Unexpected field type',
      '{"TableName":"abc","KeyConditions":{"a":1}}', 'Unexpected value type in payload',
      '{"TableName":"abc","KeyConditions":{"a":[]}}', 'Unrecognized collection type class com.amazonaws.dynamodb.v20120810.Condition',
      '{"TableName":"abc","ScanIndexForward":23}', 'NUMBER_VALUE cannot be converted to Boolean',
    },
  },
  Scan = {
    validation = {
      '{}', "1 validation error detected: Value null at 'tableName' failed to satisfy constraint: Member must not be null",
      '{"TableName":"a;","IndexName":"b;","Select":"x","ReturnConsumedCapacity":"y","ConditionalOperator":"z","Limit":0,"AttributesToGet":[],"ScanFilter":{"a":{}},"Segment":-1,"TotalSegments":0}', "10 validation errors detected: Value 'x' at 'select' failed to satisfy constraint: Member must satisfy enum value set: [SPECIFIC_ATTRIBUTES, COUNT, ALL_ATTRIBUTES, ALL_PROJECTED_ATTRIBUTES]; Value 'b;' at 'indexName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; Value 'b;' at 'indexName' failed to satisfy constraint: Member must have length greater than or equal to 3; Value '0' at 'totalSegments' failed to satisfy constraint: Member must have value greater than or equal to 1; Value 'y' at 'returnConsumedCapacity' failed to satisfy constraint: Member must satisfy enum value set: [INDEXES, TOTAL, NONE]; Value 'a;' at 'tableName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; Value 'a;' at 'tableName' failed to satisfy constraint: Member must have length greater than or equal to 3; Value 'z' at 'conditionalOperator' failed to satisfy constraint: Member must satisfy enum value set: [OR, AND]; Value null at 'scanFilter.a.member.comparisonOperator' failed to satisfy constraint: Member must not be null; Value '-1' at 'segment' failed to satisfy constraint: Member must have value greater than or equal to 0",
      '{"TableName":"abc","Segment":1}', 'The TotalSegments parameter is required but was not present in the request when Segment parameter is present',
      '{"TableName":"abc","TotalSegments":1}', 'The Segment parameter is required but was not present in the request when parameter TotalSegments is present',
      '{"TableName":"abc","TotalSegments":1,"Segment":1}', 'The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: 1 is not less than TotalSegments: 1',
      '{"TableName":"abc","ScanFilter":{"a":{"ComparisonOperator":"NULL","AttributeValueList":[{"S":"a"}]}}}', 'One or more parameter values were invalid: Invalid number of argument(s) for the NULL ComparisonOperator',
      '{"TableName":"abc","ExclusiveStartKey":{"a":{"S":"a","N":"1"}}}', 'The provided starting key is invalid: Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes',
      '{"TableName":"abc","ExclusiveStartKey":{"a":{"SS":["a","a"]}}}', 'One or more parameter values were invalid: Input collection [a, a] contains duplicates.',
      '{"TableName":"abc","FilterExpression":""}', 'Invalid FilterExpression: The expression can not be empty;',
      '{"TableName":"abc","ScanFilter":{},"FilterExpression":"","AttributesToGet":["a"]}', 'Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {AttributesToGet, ScanFilter} Expression parameters: {FilterExpression}',
      '{"TableName":"abc","ExpressionAttributeNames":{}}', 'ExpressionAttributeNames can only be specified when using expressions',
      '{"TableName":"abc","ExpressionAttributeValues":{},"ProjectionExpression":"a"}', 'ExpressionAttributeValues can only be specified when using expressions: FilterExpression is null',
    },
    serialization = {
      '{"TableName":"abc","Segment":"a"}', 'STRING_VALUE cannot be converted to Integer',
      '{"TableName":"abc","TotalSegments":1.5,"Segment":"0"}', 'STRING_VALUE cannot be converted to Integer',
      '{"TableName":"abc","ScanFilter":[]}', 'Unrecognized collection type java.util.Map<java.lang.String, com.amazonaws.dynamodb.v20120810.Condition>',
    },
  },
  BatchGetItem = {
    validation = {
      '{}', "1 validation error detected: Value null at 'requestItems' failed to satisfy constraint: Member must not be null",
      '{"RequestItems":{}}', "1 validation error detected: Value '{}' at 'requestItems' failed to satisfy constraint: Member must have length greater than or equal to 1",
      '{"RequestItems":{"a":{}}}', "2 validation errors detected: Value '{\"a\":{}}' at 'requestItems' failed to satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 255, Member must have length greater than or equal to 3, Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+]; Value null at 'requestItems.a.member.keys' failed to satisfy constraint: Member must not be null",
      '{"RequestItems":{"abc":{}},"ReturnConsumedCapacity":"hi"}', "2 validation errors detected: Value 'hi' at 'returnConsumedCapacity' failed to satisfy constraint: Member must satisfy enum value set: [INDEXES, TOTAL, NONE]; Value null at 'requestItems.abc.member.keys' failed to satisfy constraint: Member must not be null",
      '{"RequestItems":{"abc":{"Keys":[]}}}', "1 validation error detected: Value '[]' at 'requestItems.abc.member.keys' failed to satisfy constraint: Member must have length greater than or equal to 1",
      '{"RequestItems":{"abc":{"Keys":[{}],"AttributesToGet":[]}}}', "1 validation error detected: Value '[]' at 'requestItems.abc.member.attributesToGet' failed to satisfy constraint: Member must have length greater than or equal to 1",
      '{"RequestItems":{"abc":{"Keys":[{"a":{}}],"AttributesToGet":["a","a"]}}}', 'One or more parameter values were invalid: Duplicate value in attribute name: a',
      '{"RequestItems":{"abc":{"Keys":[{}],"AttributesToGet":["a"],"ProjectionExpression":"a"}}}', 'Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {AttributesToGet} Expression parameters: {ProjectionExpression}',
      '{"RequestItems":{"abc":{"Keys":[{"a":{}}]}}}', 'Supplied AttributeValue is empty, must contain exactly one of the supported datatypes',
      '{"RequestItems":{"abc":{"Keys":[{},{}]}}}', 'Provided list of item keys contains duplicates',
      '{"RequestItems":{"abc":{"Keys":[{}],"ExpressionAttributeNames":{}}}}', 'ExpressionAttributeNames can only be specified when using expressions',
    },
    serialization = {
      '{"RequestItems":[]}', 'Unrecognized collection type java.util.Map<java.lang.String, com.amazonaws.dynamodb.v20120810.KeysAndAttributes>',
      '{"RequestItems":"a"}', 'Unexpected field type',
      '{"RequestItems":{"abc":{"Keys":["a"]}}}', "class sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl cannot be cast to class java.lang.Class (sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl and java.lang.Class are in module java.base of loader 'bootstrap')",
      '{"RequestItems":{"abc":{"Keys":[[]]}}}', 'Unrecognized collection type java.util.Map<java.lang.String, com.amazonaws.dynamodb.v20120810.AttributeValue>',
      '{"RequestItems":{"abc":[]}}', 'Unrecognized collection type class com.amazonaws.dynamodb.v20120810.KeysAndAttributes',
      '{"RequestItems":{"abc":1}}', 'Unexpected value type in payload',
    },
  },
  BatchWriteItem = {
    validation = {
      '{}', "1 validation error detected: Value null at 'requestItems' failed to satisfy constraint: Member must not be null",
      '{"RequestItems":{}}', "1 validation error detected: Value '{}' at 'requestItems' failed to satisfy constraint: Member must have length greater than or equal to 1",
      '{"RequestItems":{"abc":[]}}', "1 validation error detected: Value '{\"abc\":[]}' at 'requestItems' failed to satisfy constraint: Map value must satisfy constraint: [Member must have length less than or equal to 25, Member must have length greater than or equal to 1]",
      '{"RequestItems":{"a":[]},"ReturnItemCollectionMetrics":"x"}', "3 validation errors detected: Value 'x' at 'returnItemCollectionMetrics' failed to satisfy constraint: Member must satisfy enum value set: [SIZE, NONE]; Value '{\"a\":[]}' at 'requestItems' failed to satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 255, Member must have length greater than or equal to 3, Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+]; Value '{\"a\":[]}' at 'requestItems' failed to satisfy constraint: Map value must satisfy constraint: [Member must have length less than or equal to 25, Member must have length greater than or equal to 1]",
      '{"RequestItems":{"abc":[{}]}}', 'Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes',
      '{"RequestItems":{"abc":[{"PutRequest":{}},{"DeleteRequest":{}}]}}', "2 validation errors detected: Value null at 'requestItems.abc.member.1.member.putRequest.item' failed to satisfy constraint: Member must not be null; Value null at 'requestItems.abc.member.2.member.deleteRequest.key' failed to satisfy constraint: Member must not be null",
      '{"RequestItems":{"abc":[{"PutRequest":{"Item":{"a":{}}}}]}}', 'Supplied AttributeValue is empty, must contain exactly one of the supported datatypes',
      '{"RequestItems":{"abc":[{"PutRequest":{"Item":{"h":{"S":"a"}}}}]}}', 'The provided key element does not match the schema',
    },
    serialization = {
      '{"RequestItems":[]}', 'Unrecognized collection type java.util.Map<java.lang.String, java.util.List<com.amazonaws.dynamodb.v20120810.WriteRequest>>',
      '{"RequestItems":{"abc":1}}', "class sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl cannot be cast to class java.lang.Class (sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl and java.lang.Class are in module java.base of loader 'bootstrap')",
      '{"RequestItems":{"abc":{}}}', 'Start of structure or map found where not expected',
      '{"RequestItems":{"abc":[1]}}', 'Unexpected value type in payload',
      '{"RequestItems":{"abc":[[]]}}', 'Unrecognized collection type class com.amazonaws.dynamodb.v20120810.WriteRequest',
      '{"RequestItems":{"abc":[{"PutRequest":1}]}}', 'Unexpected field type',
      '{"RequestItems":{"abc":[{"PutRequest":[]}]}}', 'Unrecognized collection type class com.amazonaws.dynamodb.v20120810.PutRequest',
    },
  },
  CreateTable = {
    validation = {
      '{}', "The parameter 'TableName' is required but was not present in the request",
      '{"TableName":"ab"}', 'TableName must be at least 3 characters long and at most 255 characters long',
      '{"TableName":"abc;"}', "3 validation errors detected: Value null at 'attributeDefinitions' failed to satisfy constraint: Member must not be null; Value 'abc;' at 'tableName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; Value null at 'keySchema' failed to satisfy constraint: Member must not be null",
      '{"TableName":"abc","AttributeDefinitions":[{}],"KeySchema":[]}', "3 validation errors detected: Value null at 'attributeDefinitions.1.member.attributeName' failed to satisfy constraint: Member must not be null; Value null at 'attributeDefinitions.1.member.attributeType' failed to satisfy constraint: Member must not be null; Value '[]' at 'keySchema' failed to satisfy constraint: Member must have length greater than or equal to 1",
      '{"TableName":"abc","AttributeDefinitions":[{}],"KeySchema":[{},{},{}],"ProvisionedThroughput":{},"BillingMode":"x"}', "10 validation errors detected: Value null at 'attributeDefinitions.1.member.attributeName' failed to satisfy constraint: Member must not be null; Value null at 'attributeDefinitions.1.member.attributeType' failed to satisfy constraint: Member must not be null; Value 'x' at 'billingMode' failed to satisfy constraint: Member must satisfy enum value set: [PROVISIONED, PAY_PER_REQUEST]; Value null at 'provisionedThroughput.writeCapacityUnits' failed to satisfy constraint: Member must not be null; Value null at 'provisionedThroughput.readCapacityUnits' failed to satisfy constraint: Member must not be null; Value '[{}, {}, {}]' at 'keySchema' failed to satisfy constraint: Member must have length less than or equal to 2; Value null at 'keySchema.1.member.attributeName' failed to satisfy constraint: Member must not be null; Value null at 'keySchema.1.member.keyType' failed to satisfy constraint: Member must not be null; Value null at 'keySchema.2.member.attributeName' failed to satisfy constraint: Member must not be null; Value null at 'keySchema.2.member.keyType' failed to satisfy constraint: Member must not be null",
      '{"TableName":"abc","AttributeDefinitions":[{"AttributeName":"a","AttributeType":"X"}],"KeySchema":[{"AttributeName":"a","KeyType":"X"}],"ProvisionedThroughput":{"ReadCapacityUnits":0,"WriteCapacityUnits":-1}}', "4 validation errors detected: Value 'X' at 'attributeDefinitions.1.member.attributeType' failed to satisfy constraint: Member must satisfy enum value set: [B, N, S]; Value '-1' at 'provisionedThroughput.writeCapacityUnits' failed to satisfy constraint: Member must have value greater than or equal to 1; Value '0' at 'provisionedThroughput.readCapacityUnits' failed to satisfy constraint: Member must have value greater than or equal to 1; Value 'X' at 'keySchema.1.member.keyType' failed to satisfy constraint: Member must satisfy enum value set: [HASH, RANGE]",
      '{"TableName":"abc","AttributeDefinitions":[],"KeySchema":[{"AttributeName":"a","KeyType":"HASH"}]}', 'One or more parameter values were invalid: ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED',
      '{"TableName":"abc","AttributeDefinitions":[],"KeySchema":[{"AttributeName":"a","KeyType":"HASH"}],"ProvisionedThroughput":{"ReadCapacityUnits":1000000000001,"WriteCapacityUnits":1}}', 'Given value 1000000000001 for ReadCapacityUnits is out of bounds',
      '{"TableName":"abc","AttributeDefinitions":[],"KeySchema":[{"AttributeName":"a","KeyType":"HASH"}],"BillingMode":"PAY_PER_REQUEST"}', 'Invalid KeySchema: Some index key attribute have no definition',
      '{"TableName":"abc","AttributeDefinitions":[{"AttributeName":"b","AttributeType":"S"}],"KeySchema":[{"AttributeName":"a","KeyType":"HASH"}],"BillingMode":"PAY_PER_REQUEST"}', 'One or more parameter values were invalid: Some index key attributes are not defined in AttributeDefinitions. Keys: [a], AttributeDefinitions: [b]',
      '{"TableName":"abc","AttributeDefinitions":[{"AttributeName":"a","AttributeType":"S"},{"AttributeName":"b","AttributeType":"S"}],"KeySchema":[{"AttributeName":"a","KeyType":"HASH"}],"BillingMode":"PAY_PER_REQUEST"}', 'One or more parameter values were invalid: Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions',
      '{"TableName":"abc","AttributeDefinitions":[{"AttributeName":"a","AttributeType":"S"}],"KeySchema":[{"AttributeName":"a","KeyType":"HASH"}],"BillingMode":"PAY_PER_REQUEST","LocalSecondaryIndexes":[]}', 'One or more parameter values were invalid: List of LocalSecondaryIndexes is empty',
      '{"TableName":"abc","AttributeDefinitions":[{"AttributeName":"a","AttributeType":"S"}],"KeySchema":[{"AttributeName":"a","KeyType":"HASH"}],"BillingMode":"PAY_PER_REQUEST","LocalSecondaryIndexes":[{}],"GlobalSecondaryIndexes":[{"IndexName":"h;"}]}', "7 validation errors detected: Value null at 'localSecondaryIndexes.1.member.indexName' failed to satisfy constraint: Member must not be null; Value null at 'localSecondaryIndexes.1.member.keySchema' failed to satisfy constraint: Member must not be null; Value null at 'localSecondaryIndexes.1.member.projection' failed to satisfy constraint: Member must not be null; Value 'h;' at 'globalSecondaryIndexes.1.member.indexName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; Value 'h;' at 'globalSecondaryIndexes.1.member.indexName' failed to satisfy constraint: Member must have length greater than or equal to 3; Value null at 'globalSecondaryIndexes.1.member.keySchema' failed to satisfy constraint: Member must not be null; Value null at 'globalSecondaryIndexes.1.member.projection' failed to satisfy constraint: Member must not be null",
    },
    serialization = {
      '{"TableName":"abc","AttributeDefinitions":"a"}', 'Unexpected field type',
      '{"TableName":"abc","AttributeDefinitions":{}}', 'Start of structure or map found where not expected',
      '{"TableName":"abc","AttributeDefinitions":[1]}', 'Unexpected value type in payload',
      '{"TableName":"abc","AttributeDefinitions":[[]]}', 'Unrecognized collection type class com.amazonaws.dynamodb.v20120810.AttributeDefinition',
      '{"TableName":"abc","ProvisionedThroughput":1}', 'Unexpected field type',
      '{"TableName":"abc","ProvisionedThroughput":[]}', 'Unrecognized collection type class com.amazonaws.dynamodb.v20120810.ProvisionedThroughput',
      '{"TableName":"abc","ProvisionedThroughput":{"WriteCapacityUnits":"a"}}', 'STRING_VALUE cannot be converted to Long',
    },
  },
  UpdateTable = {
    validation = {
      '{}', "The parameter 'TableName' is required but was not present in the request",
      '{"TableName":"abc"}', 'At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates or SSESpecification or ReplicaUpdates is required',
      '{"TableName":"abc","BillingMode":"PROVISIONED"}', 'One or more parameter values were invalid: ProvisionedThroughput must be specified when BillingMode is PROVISIONED',
      '{"TableName":"abc","GlobalSecondaryIndexUpdates":[{}]}', 'One or more parameter values were invalid: One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, GlobalSecondaryIndexUpdate.Delete must not be null',
      '{"TableName":"abc","GlobalSecondaryIndexUpdates":[{"Delete":{}}]}', "1 validation error detected: Value null at 'globalSecondaryIndexUpdates.1.member.delete.indexName' failed to satisfy constraint: Member must not be null",
      '{"TableName":"abc","GlobalSecondaryIndexUpdates":[{"Delete":{"IndexName":"abc"}},{"Delete":{"IndexName":"abc"}}]}', 'One or more parameter values were invalid: Only one global secondary index update per index is allowed simultaneously. Index: abc',
      '{"TableName":"abc","ProvisionedThroughput":{"ReadCapacityUnits":1000000000001,"WriteCapacityUnits":1}}', 'Given value 1000000000001 for ReadCapacityUnits is out of bounds',
    },
  },
  DeleteTable = OF_A_TABLE,
  DescribeTable = OF_A_TABLE,
  DescribeTimeToLive = OF_A_TABLE,
  ListTables = {
    validation = {
      '{"Limit":0,"ExclusiveStartTableName":"a;"}', "3 validation errors detected: Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1; Value 'a;' at 'exclusiveStartTableName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; Value 'a;' at 'exclusiveStartTableName' failed to satisfy constraint: Member must have length greater than or equal to 3",
      '{"Limit":101}', "1 validation error detected: Value '101' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 100",
    },
    serialization = {
      '{"Limit":"a"}', 'STRING_VALUE cannot be converted to Integer',
    },
  },
  ListTagsOfResource = {
    validation = {
      '{}', 'Invalid TableArn',
      '{"ResourceArn":"a:b:c:d:e:f/g"}', 'Invalid TableArn: Invalid ResourceArn provided as input a:b:c:d:e:f/g',
    },
  },
  TagResource = {
    validation = {
      '{}', 'Invalid TableArn',
      '{"ResourceArn":"a:b:c:d:e:f/g"}', "1 validation error detected: Value null at 'tags' failed to satisfy constraint: Member must not be null",
      '{"ResourceArn":"arn:aws:dynamodb:us-east-1:000000000000:table/abc","Tags":[]}', 'Atleast one Tag needs to be provided as Input.',
    },
  },
  UntagResource = {
    validation = {
      '{}', 'Invalid TableArn',
      '{"ResourceArn":"a:b:c:d:e:f/g"}', "1 validation error detected: Value null at 'tagKeys' failed to satisfy constraint: Member must not be null",
      '{"ResourceArn":"arn:aws:dynamodb:us-east-1:000000000000:table/abc","TagKeys":[]}', 'Atleast one Tag Key needs to be provided as Input.',
    },
  },
}

describe("DynamoDB refuses", function()
  local e
  setup(function()
    e = assert(t.open { memory = true })
    assert(e:call("dynamodb", "CreateTable", TABLE))
  end)
  teardown(function() e:close() end)

  local function post(action, body)
    local status, headers, text = e:face { method = "POST", target = "/", sign = "dynamodb", plain = true, body = body,
      headers = { Host = "localhost:4566", ["Content-Type"] = "application/x-amz-json-1.0", ["X-Amz-Target"] = "DynamoDB_20120810." .. action } }
    assert.is_string(headers["x-amz-crc32"])
    return status, json.decode(text)
  end

  for action, kinds in pairs(cases) do
    for kind, list in pairs(kinds) do
      it(("%d requests for %s: %s"):format(#list // 2, action, kind), function()
        local member = (kind == "serialization" or kind == "denied") and "Message" or "message"
        for i = 1, #list, 2 do
          local status, answer = post(action, list[i])
          assert.same({ 400, types[kind], list[i + 1] }, { status, answer.__type, answer[member] }, list[i])
        end
      end)
    end
  end

  it("nothing for members that it does not know, at any depth, and null ones", function()
    assert.same({ 200, {} }, { post("PutItem", '{"TableName":"abc","Itme":{},"Expected":null,"Item":{"h":{"S":"a","X":"y"},"r":{"N":"1","S":null}}}') })
    local status, answer = post("GetItem", '{"TableName":"abc","Key":{"h":{"S":"a"},"r":{"N":"1"}},"Frobnicate":[1,{"a":2}]}')
    assert.same({ 200, { h = { S = "a" }, r = { N = "1" } } }, { status, answer.Item })
    assert.same({ 200, 0 }, { (function() local s, a = post("Query", '{"TableName":"abc","KeyConditions":{"h":{"ComparisonOperator":"EQ","AttributeValueList":[{"S":"b"}],"Note":1}}}') return s, a.Count end)() })
  end)

  it("a fraction and an exponent nowhere but rounds them down, as it does", function()
    local status, answer = post("Scan", '{"TableName":"abc","Limit":1.9,"Segment":0.5,"TotalSegments":1e0,"ConsistentRead":"true"}')
    assert.same({ 200, 1 }, { status, answer.ScannedCount })
  end)

  it("tables that are not there, by name where tables are meant, and where a handler looks for one", function()
    local status, answer = post("GetItem", '{"TableName":"nope","Key":{"h":{"S":"a"}}}')
    assert.same({ 400, types.missing, "Requested resource not found" }, { status, answer.__type, answer.message })
    assert.equal("Requested resource not found: Table: nope not found", select(2, post("DescribeTable", '{"TableName":"nope"}')).message)
    local _, err = e:call("dynamodb", "GetItem", '{"TableName":"nope","Key":{"h":{"S":"a"}}}')
    assert.equal("Requested resource not found: Table: nope not found", json.decode(err).message)
  end)

  it("what a handler misspells, by name and place", function()
    local function message(action, body)
      local ok, err = e:call("dynamodb", action, body)
      assert.is_nil(ok)
      local doc = json.decode(err)
      return doc.message or doc.Message
    end
    assert.equal("PutItem has no parameter named 'Itme'", message("PutItem", '{"TableName":"abc","Itme":{}}'))
    assert.equal("BatchGetItem: requestItems.abc.member has no parameter named 'Key'", message("BatchGetItem", '{"RequestItems":{"abc":{"Key":[]}}}'))
    assert.equal("TransactWriteItems: transactItems.2.member.put has no parameter named 'Itme'",
      message("TransactWriteItems", '{"TransactItems":[{"Put":{"TableName":"abc","Item":{}}},{"Put":{"TableName":"abc","Itme":{}}}]}'))
    assert.equal("Query: limit: STRING_VALUE cannot be converted to Integer", message("Query", '{"TableName":"abc","Limit":"5"}'))
    assert.equal("PutItem: item.a.member: Unexpected value type in payload", message("PutItem", '{"TableName":"abc","Item":{"a":"b"}}'))
  end)
end)
