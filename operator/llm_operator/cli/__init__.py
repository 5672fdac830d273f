"""`kubectl llm`: asks for verbs and says where an LLMDeployment stands. Imports late: it starts in a fraction of a second."""
