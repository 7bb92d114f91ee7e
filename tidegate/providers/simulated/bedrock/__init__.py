"""Amazon Bedrock's API: Converse, its event stream, and Titan's embeddings."""
