variable "deletion_protection" {
  description = "Whether a destroy of the pool, its provider and the accounts is refused. Default: true."
  type        = bool
  default     = true
}

variable "project_id" {
  description = "Id of the project that owns the pool."
  type        = string
}

variable "users" {
  description = "Names of the users, 1 to 23 characters a-z 0-9 -."
  type        = set(string)
}

variable "worker_email" {
  description = "E-mail address of the service account that the worker machine runs as."
  type        = string
}
