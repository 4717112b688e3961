variable "deletion_protection" {
  description = "Whether a destroy of the pool, its provider and the accounts is refused. Default: true."
  type        = bool
  default     = true
}

variable "project_id" {
  description = "Id of the project that owns the pool."
  type        = string
}

variable "worker_unique_id" {
  description = "Numeric id of the service account that the worker machine runs as."
  type        = string
}
